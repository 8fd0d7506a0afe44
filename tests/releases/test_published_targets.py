"""What a pipeline publishes its releases to be made for, read back."""

import pytest

from foothold.errors import PermanentError
from foothold.releases.model import ReleaseTarget, ReleaseTargets

PATH = "/foothold/pipelines/orders"
TARGETS = ReleaseTargets(
    "orders",
    "eu-central-1",
    (
        ReleaseTarget(
            "Production",
            "222222222222",
            "orders",
            (("eu-west-1",), ("us-east-1", "eu-central-1")),
            parameters={"Secret": "{{resolve:ssm:/x}}"},
        ),
    ),
)


def parts(size: int) -> dict[str, str]:
    text = TARGETS.text
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    return {f"{PATH}/{number}": part for number, part in enumerate(cut, 1)}


@pytest.mark.parametrize("size", [10, 4000])
def test_what_was_published_in_parts_is_read_in_their_numbers_order(size: int) -> None:
    published = dict(reversed(parts(size).items()))
    assert ReleaseTargets.published(published, PATH, TARGETS.digest) == TARGETS


def test_parameters_of_others_are_no_part_of_it() -> None:
    others = {f"{PATH}-new/1": "{}", f"{PATH}/note": "x", "/foothold/regions": "eu-west-1"}
    assert ReleaseTargets.published(others | parts(30), PATH, TARGETS.digest) == TARGETS


def test_a_pipeline_that_published_nothing_is_to_be_deployed_again() -> None:
    with pytest.raises(
        PermanentError, match=r"no parameter /foothold/pipelines/orders/1, .* again"
    ):
        ReleaseTargets.published({}, PATH, TARGETS.digest)


def test_what_another_deployment_published_is_refused() -> None:
    with pytest.raises(PermanentError, match="not those that this pipeline was deployed with"):
        ReleaseTargets.published(parts(100), PATH, "0" * 32)


def test_a_part_that_is_missing_is_noticed() -> None:
    published = parts(100)
    del published[f"{PATH}/2"]
    with pytest.raises(PermanentError, match="no list of targets that Foothold wrote"):
        ReleaseTargets.published(published, PATH, TARGETS.digest)
