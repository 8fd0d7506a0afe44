"""Several control planes in one account: hands off, the ways out, and handing over."""

import contextlib
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.errors import FootholdError, NotOursError, PermanentError
from foothold.stores.aspects import BucketAspect
from foothold.stores.custom_resource.request import Claim
from foothold.stores.model import HOME_TAG, STACK_TAG, ControlPlane
from tests.stores.accounts import REGION, SPEC, Account, made_once, stored
from tests.stores.test_retirement import Killed, killing
from tests.stores.worlds import HOME, PLANE

SECOND = "us-east-1"
CLAIM = Claim("app.1.Store", "a stack's resource")
OWN = Claim("foothold.1.HomeArtifactStore", "the control plane's own")


def others() -> list[ControlPlane]:
    """Every deployment that differs from PLANE in its home, stack, prefix or root. One of the same
    stack and home is the same one."""
    return [
        replace(PLANE, home_region=home, stack=stack, prefix=prefix, parameter_root=root)
        for home, stack, prefix, root in product(
            (HOME, SECOND), ("foothold", "another"), ("foothold", "second"), ("/foothold", "/two")
        )
        if (home, stack) != (HOME, "foothold")
    ]


def name(plane: ControlPlane) -> str:
    return f"{plane.home_region} {plane.stack} {plane.prefix} {plane.parameter_root}"


def beside(account: Account, plane: ControlPlane) -> Account:
    """The second control plane, in the same account."""
    return Account(plane=plane, cloud=account.cloud)


@made_once
def first() -> Account:
    account = Account()
    account.store(HOME)
    account.store()
    account.claims.ensure([REGION], CLAIM)
    account.fill(7)
    account.begin_anew()
    return account


def firsts_own(account: Account, before: Account) -> dict[str, object]:
    """What the first control plane had, as it is now."""
    now, then = account.state(), before.state()
    return {kind: {name: now[kind].get(name) for name in then[kind]} for kind in then}


@pytest.mark.parametrize("plane", others(), ids=name)
def test_two_control_planes_never_touch_what_is_the_others(plane: ControlPlane) -> None:
    account, untouched = first(), first()
    second = beside(account, plane)
    for act in (
        lambda: second.reconciler.reconcile([HOME, REGION, SECOND]),
        second.reconciler.keep,
        lambda: second.retirements.retire(REGION, second.now + 60),
        lambda: second.retirements.go_on(second.now + 60),
        lambda: second.retirements.undo(REGION),
        lambda: second.claims.ensure([REGION], Claim("theirs.2.Store", "theirs")),
        lambda: second.claims.release(Claim("theirs.2.Store", "theirs")),
        lambda: second.adoptions.adopt(REGION, SPEC.bucket, next(iter(account.cloud.keys))),
        lambda: second.hand_overs.hand_over(REGION, plane.stack, plane.home_region),
        second.reconciler.keep,
    ):
        with contextlib.suppress(FootholdError):
            act()
        assert firsts_own(account, untouched) == firsts_own(untouched, untouched)
    for outcome in account.reconciler.keep():
        assert (outcome.error, outcome.steps) == (None, ())


def meets(plane: ControlPlane) -> bool:
    """Whether the second one meets the first one's store in REGION: by its bucket's name, or in
    the parameters that stand there or at home."""
    return plane.prefix == PLANE.prefix or plane.parameter_root == PLANE.parameter_root


@pytest.mark.parametrize("plane", [plane for plane in others() if meets(plane)], ids=name)
def test_the_second_one_is_refused_with_the_firsts_name_before_anything_is_written(
    plane: ControlPlane,
) -> None:
    account = first()
    second = beside(account, plane)
    before = account.state()
    (outcome,) = second.reconciler.reconcile([REGION])
    assert isinstance(outcome.error, NotOursError)
    assert f"control plane of stack {PLANE.stack} with its home in {HOME}" in str(outcome.error)
    assert "another NamePrefix and ParameterRoot" in str(outcome.error)
    assert f"--to-stack {plane.stack} --to-home {plane.home_region}`" in str(outcome.error)
    with pytest.raises(PermanentError):
        second.retirements.retire(REGION, second.now + 60)
    assert account.state() == before


@pytest.mark.parametrize("plane", [plane for plane in others() if not meets(plane)], ids=name)
def test_with_a_prefix_and_a_root_of_its_own_the_second_one_has_stores_of_its_own(
    plane: ControlPlane,
) -> None:
    account = first()
    assert beside(account, plane).store() not in (None, account.store())


def test_below_the_root_of_another_nothing_new_is_made_either() -> None:
    """The list is shared then: a region on it that nobody has made yet is the first one's."""
    account = first()
    plane = replace(PLANE, stack="another", prefix="second")
    account.parameters.put(HOME, PLANE.names.regions, SECOND)
    before = account.state()
    outcomes = beside(account, plane).reconciler.keep()
    assert all(isinstance(outcome.error, NotOursError) for outcome in outcomes)
    assert account.state() == before


# --- Handing over -------------------------------------------------------------------------------


RECEIVERS = [plane for plane in others() if plane.prefix == "foothold"]


@pytest.mark.parametrize("plane", RECEIVERS, ids=name)
def test_a_store_that_was_handed_over_is_the_others_with_all_it_holds(plane: ControlPlane) -> None:
    account = Account()
    key = account.store()
    account.fill(7)
    account.hand_overs.hand_over(REGION, plane.stack, plane.home_region)
    assert account.published() == {}
    assert account.reconciler.keep() == ()
    second = beside(account, plane)
    (outcome,) = second.reconciler.reconcile([REGION])
    assert outcome.store is not None, outcome.error
    assert (outcome.store.bucket, outcome.store.key_arn) == (SPEC.bucket, key)
    assert account.versions() == 7
    assert account.announced() == []
    assert second.reconciler.plan([REGION]) == {REGION: ()}
    with pytest.raises(PermanentError):
        account.retirements.retire(REGION, account.now + 60)


def test_handing_over_the_home_region_takes_the_control_planes_own_claim_along() -> None:
    account = Account()
    account.claims.ensure([HOME], OWN)
    account.hand_overs.hand_over(HOME, "platform", HOME)
    assert account.reconciler.desired_regions() == ()
    assert account.cloud.parameters == {}


@pytest.mark.parametrize("wanted", ["claim", "list"])
def test_a_region_that_somebody_here_wants_is_not_handed_over(wanted: str) -> None:
    account = Account()
    account.store()
    if wanted == "claim":
        account.claims.ensure([REGION], CLAIM)
    else:
        account.parameters.put(HOME, PLANE.names.regions, REGION)
    before = account.state()
    with pytest.raises(PermanentError, match=r"is wanted by .*; then hand it over"):
        account.hand_overs.hand_over(REGION, "platform", SECOND)
    assert account.state() == before


def test_a_store_that_is_being_retired_is_not_handed_over() -> None:
    account = Account()
    account.store()
    account.retire()
    with pytest.raises(PermanentError, match=r"--undo`, then hand it over"):
        account.hand_overs.hand_over(REGION, "platform", SECOND)


def test_what_is_not_there_or_not_ours_is_not_handed_over() -> None:
    account = Account()
    with pytest.raises(PermanentError, match="has no artifact store"):
        account.hand_overs.hand_over(REGION, "platform", SECOND)
    account.store()
    account.buckets.write(SPEC, BucketAspect.TAGS, {STACK_TAG: "third"})
    before = account.state()
    with pytest.raises(NotOursError, match="stack third"):
        account.hand_overs.hand_over(REGION, "platform", SECOND)
    assert account.state() == before


def test_a_store_whose_key_lost_its_alias_is_mended_before_it_is_handed_over() -> None:
    account = Account()
    account.store()
    account.cloud.aliases.clear()
    with pytest.raises(PermanentError, match="mend the store first"):
        account.hand_overs.hand_over(REGION, "platform", SECOND)


def test_a_store_of_before_there_were_home_regions_is_claimed_by_handing_it_to_oneself() -> None:
    account = Account()
    key = account.store()
    for tags in (
        account.cloud.buckets[SPEC.bucket].tags,
        account.cloud.keys[key].tags,
    ):
        del tags[HOME_TAG]
    (outcome,) = account.reconciler.keep()
    assert f"`foothold regions hand-over {REGION} --to-stack foothold --to-home {HOME}`" in str(
        outcome.error
    )
    account.hand_overs.hand_over(REGION, PLANE.stack, HOME)
    assert account.reconciler.keep()[0].error is None
    assert account.reconciler.plan([REGION]) == {REGION: ()}


@given(st.integers(min_value=0, max_value=30))
def test_a_hand_over_killed_anywhere_is_finished_by_repeating_it(killed: int) -> None:
    account = stored()
    (key,) = account.cloud.keys
    killing(account, killed)
    with contextlib.suppress(Killed):
        account.hand_overs.hand_over(REGION, "platform", SECOND)
    account.serve()
    account.reconciler.keep()  # whatever it makes of it meanwhile
    for _ in range(2):
        account.hand_overs.hand_over(REGION, "platform", SECOND)
    second = beside(account, replace(PLANE, stack="platform", home_region=SECOND))
    assert second.store() == key
    assert account.reconciler.keep() == ()


def test_an_adopted_store_is_handed_over_and_adopted_again() -> None:
    account = Account()
    bucket, key = account.put_theirs()
    account.adoptions.adopt(REGION, bucket, key)
    account.hand_overs.hand_over(REGION, "platform", SECOND)
    second = beside(account, replace(PLANE, stack="platform", home_region=SECOND))
    assert second.adoptions.adopt(REGION, bucket, key).error is None
    assert account.versions(bucket) == 7
