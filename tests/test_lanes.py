"""Every test is in one lane, and no lane's tests are taken for another's."""

from pathlib import Path

import pytest

from tests.conftest import HERE, LANES, lane_of, pytest_collection_modifyitems, share_of


@pytest.mark.parametrize(
    ("file", "fixtures", "lane"),
    [
        ("stores/test_planner.py", ["world"], "unit"),
        ("test_lanes.py", [], "unit"),
        ("packaging/test_golden.py", ["side_by_side", "real_sam"], "embedded"),
        ("embedded/shims/test_s3.py", [], "embedded"),
        ("proof/test_proof.py", [], "proof"),
    ],
)
def test_folder_and_fixtures_say_the_lane(file: str, fixtures: list[str], lane: str) -> None:
    assert lane_of(HERE / file, fixtures) == lane


def test_every_test_that_runs_has_one_lane(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert len([name for name in LANES if item.get_closest_marker(name)]) == 1


def test_a_lane_that_is_given_by_hand_is_refused(request: pytest.FixtureRequest) -> None:
    item = request.node  # it has its lane by now
    with pytest.raises(pytest.UsageError, match="its lane is no mark's to say"):
        pytest_collection_modifyitems([item])


def test_only_what_needs_an_embedded_aws_shares_one_process_whatever_its_file_says() -> None:
    assert "mark.embedded" in Path(__file__).read_text()
    assert share_of("tests/test_lanes.py::test_x") == "tests/test_lanes.py"
    assert share_of("tests/embedded/test_a.py::test_x") == share_of("tests/embedded/test_b.py::y")
    assert share_of("tests/embedded/b/test_a.py::x") == share_of("tests/embedded/b/test_b.py::y")
    assert share_of("tests/embedded/b/test_a.py::x") != share_of("tests/embedded/test_a.py::x")
    assert share_of("tests/proof/test_proof.py::t[a]") != share_of(
        "tests/proof/test_proof.py::t[b]"
    )
