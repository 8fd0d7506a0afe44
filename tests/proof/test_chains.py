"""Two calls that are allowed, and together reach what nobody should: found where they are."""

import copy
from typing import Any

import pytest

from proof.privileges import policies, template, two_in_a_row
from proof.result import Scale

SCALE = Scale(full=False, seed=1)


def documents() -> dict[str, Any]:
    return copy.deepcopy(policies(template()["Resources"]))


def test_nobody_tags_a_key_of_somebody_else_and_owns_it_then() -> None:
    assert two_in_a_row(SCALE, documents()).failures == ()


def statement(found: dict[str, Any], policy: str, sid: str) -> dict[str, Any]:
    one: dict[str, Any]
    (one,) = [each for each in found[policy]["Statement"] if each["Sid"] == sid]
    return one


@pytest.mark.parametrize(
    ("policy", "sid", "condition"),
    [
        # The right to tag a new key, beside the rights that go by tags.
        (
            "StoreKeeping",
            "TagItsKeys",
            {"StringEquals": {"aws:RequestTag/foothold:stack": "foothold"}},
        ),
        ("Retiring", "HandItsKeysOver", {}),
        # The mark of a retirement, set by whoever keeps stores.
        (
            "StoreKeeping",
            "TagItsKeys",
            {"StringEquals": {"aws:ResourceTag/foothold:stack": "foothold"}},
        ),
    ],
)
def test_a_statement_that_is_too_wide_is_found(
    policy: str, sid: str, condition: dict[str, Any]
) -> None:
    found = documents()
    statement(found, policy, sid)["Condition"] = condition
    assert two_in_a_row(SCALE, found).failures


def test_adoption_of_any_key_is_the_one_way_and_the_reconcile_roles_only() -> None:
    found = documents()
    statement(found, "AdoptingKeys", "TagAdoptedKeys")["Resource"] = "*"
    failures = two_in_a_row(SCALE, found).failures
    assert failures
    assert all(line.startswith("reached: ReconcileRole: ") for line in failures)
