"""What is looked at, and what is found."""

from itertools import pairwise

import pytest

from foothold.stores.aspects import EVERYTHING, SPARE_KEYS, BucketAspect, KeyAspect, LookedAt
from foothold.stores.model import HOME_TAG, STATE_TAG, Use
from foothold.stores.observe import Observer
from foothold.stores.planner import TAGS
from foothold.stores.policies import key_policy
from foothold.stores.register import Phase, Register, Retirement
from foothold.stores.steps import ObservedStore
from proof.cloud import Call
from tests.stores.accounts import REGION, SPEC, Account
from tests.stores.worlds import HOME


def observer(account: Account) -> Observer:
    return Observer(account.keys, account.buckets, account.parameters)


def register(account: Account) -> Register:
    return account.plane.register(account.parameters.below(HOME, account.plane.names.stores))


def looked_at(
    account: Account, *aspects: LookedAt, retirement: Retirement | None = None
) -> ObservedStore:
    return observer(account).look(SPEC, register(account), aspects, retirement)


def left(account: Account, retirement: Retirement | None) -> ObservedStore:
    return observer(account).left(SPEC, register(account), retirement)


def of(key_arn: str) -> Retirement:
    return Retirement(Phase.RETIRING, 7, key_arn)


def looked_for(account: Account) -> list[str]:
    """How keys were looked for: by their tags, as spare ones, or by an ARN, and then its tags."""
    found = []
    for call, after in pairwise([*account.cloud.calls, Call("", "", "", {})]):
        if call.operation == "GetResources":
            filters = [one["Key"] for one in call.params["TagFilters"]]
            found.append("spare" if STATE_TAG in filters else "tagged")
        elif (call.operation, after.operation) == ("DescribeKey", "ListResourceTags"):
            found += {call.params["KeyId"]} & {after.params["KeyId"]}
    return found


def another_control_planes(account: Account, key_arn: str) -> None:
    account.cloud.keys[key_arn].tags = {**SPEC.tags, HOME_TAG: "us-east-1"}


@pytest.mark.parametrize("aspects", [(), (BucketAspect.POLICY, KeyAspect.POLICY), EVERYTHING])
def test_the_settings_that_are_asked_for_are_read_and_no_others(
    account: Account, aspects: tuple[LookedAt, ...]
) -> None:
    account.store()
    seen = looked_at(account, *aspects)
    assert set(seen.settings) == set(aspects) - {SPARE_KEYS}
    assert ("spare" in looked_for(account)) == (SPARE_KEYS in aspects)


def test_nothing_is_found_where_nothing_is(account: Account) -> None:
    assert looked_at(account, *EVERYTHING) == ObservedStore()
    assert left(account, None) == ObservedStore()


def test_keys_are_looked_for_by_their_tags_only_where_the_alias_points_at_none(
    account: Account,
) -> None:
    key = account.store()
    assert looked_at(account, *EVERYTHING).tagged_keys == ()
    assert "tagged" not in looked_for(account)
    account.cloud.aliases.clear()
    assert [found.arn for found in looked_at(account, *EVERYTHING).tagged_keys] == [key]


def test_a_key_that_parameters_and_a_record_name_is_looked_up_once(account: Account) -> None:
    key = account.store()
    looked_at(account, *TAGS, retirement=of(key))
    assert key not in looked_for(account)
    account.cloud.aliases.clear()
    account.begin_anew()
    seen = looked_at(account, *TAGS, retirement=of(key))
    assert [found.arn for found in seen.named_keys] == [key]
    assert looked_for(account).count(key) == 1


@pytest.mark.parametrize(("tags", "empty"), [({}, True), (SPEC.tags, None)])
def test_whether_a_bucket_is_empty_is_asked_where_its_tags_do_not_say_whose_it_is(
    account: Account, tags: dict[str, str], *, empty: bool | None
) -> None:
    account.store()
    account.cloud.buckets[SPEC.bucket].tags = tags
    assert looked_at(account, *TAGS).bucket_empty is empty
    assert looked_at(account, BucketAspect.POLICY).bucket_empty is None
    assert left(account, None).bucket_empty is True


def test_what_is_left_of_a_store_is_its_former_key_and_not_any_that_carries_its_tags(
    account: Account,
) -> None:
    key = account.store()
    other = account.keys.create(SPEC, key_policy(SPEC), Use.UNUSED)
    account.cloud.aliases.clear()
    assert [found.arn for found in left(account, of(other)).tagged_keys] == [other]
    assert left(account, None).tagged_keys == ()
    account.cloud.keys[key].tags = {"owner": "platform"}
    assert left(account, of(key)).tagged_keys == ()
    assert "tagged" not in looked_for(account)


def test_parameters_that_name_another_control_planes_key_are_none_of_the_stores_own(
    account: Account,
) -> None:
    key = account.store()
    theirs = account.keys.create(SPEC, key_policy(SPEC), Use.IN_USE)
    another_control_planes(account, theirs)
    account.parameters.put(REGION, f"{SPEC.regional_path}/key-arn", theirs)
    found = left(account, of(key))
    assert found.regional_parameters == {}
    assert found.home_parameters == SPEC.parameters(SPEC.home_path, key)
    seen = looked_at(account, *TAGS)
    assert seen.regional_parameters[f"{SPEC.regional_path}/key-arn"] == theirs


def test_a_bucket_that_goes_while_it_is_looked_at_does_not_exist(account: Account) -> None:
    account.store()

    def delete_it(call: str) -> None:
        if call == "GetBucketLifecycleConfiguration":
            account.cloud.buckets.clear()

    account.watch(delete_it)
    assert not looked_at(account, *EVERYTHING).bucket_exists
