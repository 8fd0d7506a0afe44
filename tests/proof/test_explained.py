"""The proof of the explanations can fail: each of these breaks them in one way, and is told of."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from foothold.explain import evaluate, fixes
from foothold.explain.chain import Chain, LinkVerdict, explain
from foothold.explain.observed import Observed
from proof import explained
from proof.result import Scale

FEW = Scale()


def failures(names: tuple[str, ...], explained_by: Callable[[Observed], Chain] = explain) -> str:
    faults = [fault for fault in explained.CATALOGUE if fault.name in names]
    assert len(faults) == len(names)
    return "\n".join(explained.single_faults(FEW, faults, explained_by).failures)


def test_the_catalogue_is_as_large_as_it_has_to_be() -> None:
    assert len(explained.CATALOGUE) >= 40
    assert len({fault.name for fault in explained.CATALOGUE}) == len(explained.CATALOGUE)
    assert len(explained.cases()) >= 600


def test_a_link_that_is_not_named_is_noticed() -> None:
    def silent(seen: Observed) -> Chain:
        found = explain(seen)
        return replace(found, links=tuple(x for x in found.links if x.name != "key state"))

    assert failures(("the key is disabled",)) == ""
    assert "named [] for key state" in failures(("the key is disabled",), silent)


def test_a_link_that_is_named_for_nothing_is_noticed() -> None:
    def alarmed(seen: Observed) -> Chain:
        found = explain(seen)
        *first, last = found.links
        return replace(found, links=(*first, replace(last, verdict=LinkVerdict.BROKEN)))

    assert "beside it" in failures(("the key is disabled",), alarmed)
    assert explained.no_false_alarm(FEW, alarmed).failures


def test_a_fix_that_mends_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = "the statement for S3 is gone"
    assert failures((lost,)) == ""
    monkeypatch.setattr(fixes, "document", lambda _statements: '{"Statement":[]}')
    assert "does not mend it" in failures((lost,))


def test_a_fix_that_grants_more_than_is_asked_for_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = "the statement for S3 is gone"
    allow_role = fixes.allow_role

    def generous(name: str, account: str, access: fixes.NeededAccess) -> fixes.Fix:
        return allow_role(name, account, replace(access, resource="*"))

    monkeypatch.setattr(fixes, "allow_role", generous)
    assert "grants more" in failures((lost,))


def test_a_denial_that_is_taken_away_whole_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = "a policy denies all of S3"
    assert failures((denied,)) == ""
    monkeypatch.setattr(fixes, "without", lambda *_: [])
    assert failures((denied, "an SCP denies all of S3")) != ""


@pytest.mark.parametrize("fault", ["through S3 of another region", "without TLS only"])
def test_conditions_that_nobody_looks_at_are_noticed(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    assert failures((fault,)) == ""
    monkeypatch.setattr(evaluate, "_holds", lambda *_: True)
    assert "for identity policies" in failures((fault,))


def test_advice_that_foothold_would_take_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that Foothold keeps is put right by Foothold, whatever a person writes there."""
    gone = "the readers' statement is gone"

    def by_hand(region: str, account: str) -> fixes.Fix:
        return fixes.Fix(f"aws s3api put-bucket-policy --bucket {region}", account)

    assert failures((gone,)) == ""
    monkeypatch.setattr(fixes, "let_foothold", by_hand)
    assert failures((gone,)) != ""


def test_a_world_that_the_other_evaluator_finds_broken_is_no_healthy_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert explained.no_false_alarm(FEW).failures == ()
    monkeypatch.setattr(explained.World, "is_sound", False)
    assert any("is not" in line for line in explained.no_false_alarm(FEW).failures)


def test_two_faults_of_which_one_is_forgotten_are_noticed() -> None:
    def first_only(seen: Observed) -> Chain:
        found = explain(seen)
        never = {"alias", "key policy", "object ownership"}
        return replace(found, links=tuple(x for x in found.links if x.name not in never))

    assert explained.double_faults(FEW).failures == ()
    assert explained.double_faults(FEW, first_only).failures
