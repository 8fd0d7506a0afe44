"""Every state that a key can be found in, and what becomes of the store."""

import pytest

from foothold.errors import PermanentError
from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.model import STATE_TAG, Use
from foothold.stores.policies import key_policy
from foothold.stores.steps import KeepVerb, Verb
from tests.stores.accounts import REGION, SPEC, Account
from tests.stores.worlds import HOME


def verbs(account: Account) -> list[Verb]:
    (outcome,) = account.reconciler.keep([REGION])
    assert outcome.error is None
    return [step.verb for step in outcome.steps]


def test_a_disabled_key_is_enabled_again(account: Account) -> None:
    key = account.store()
    account.set_key(key, "Disabled")
    assert verbs(account) == [KeepVerb.ENABLE_KEY]
    assert account.key(key) == "Enabled"


def test_a_key_pending_deletion_is_saved_and_a_person_hears_of_it(account: Account) -> None:
    key = account.store()
    account.set_key(key, "PendingDeletion")
    (outcome,) = account.reconciler.keep([REGION])
    assert account.key(key) == "Enabled"
    assert [step.verb for step in outcome.alarms] == [KeepVerb.CANCEL_KEY_DELETION]
    assert len(account.cloud.keys) == 1


def test_a_key_that_is_gone_for_good_is_replaced_and_announced(account: Account) -> None:
    gone = account.store()
    account.cloud.end_key(gone)
    done = verbs(account)
    (key,) = account.cloud.keys
    assert key != gone
    assert done.index(KeepVerb.PUBLISH_HOME) < done.index(KeepVerb.ANNOUNCE)
    assert [store.key_arn for store in account.announced()] == [key]
    assert account.published()[f"{SPEC.home_path}/key-arn"] == key
    assert verbs(account) == []


def test_an_announcement_that_failed_is_made_by_the_next_run(account: Account) -> None:
    account.cloud.end_key(account.store())

    def cut_short(call: str) -> None:
        if call == "PutEvents":
            raise PermanentError("no bus")

    account.watch(cut_short)
    assert account.reconciler.keep([REGION])[0].error
    account.serve()
    assert KeepVerb.ANNOUNCE in verbs(account)
    assert len(account.announced()) == 1
    assert verbs(account) == []


def test_a_first_store_is_announced_to_nobody(account: Account) -> None:
    account.store()
    assert account.announced() == []


def test_an_alias_moved_while_the_old_key_can_come_back_is_left_to_a_person(
    account: Account,
) -> None:
    key = account.store()
    other = account.keys.create(SPEC, key_policy(SPEC), Use.IN_USE)
    account.cloud.aliases[REGION, SPEC.key_alias] = other
    before = account.state()
    for state in ("Enabled", "Disabled", "PendingDeletion"):
        account.set_key(key, state)
        (outcome,) = account.reconciler.keep([REGION])
        assert "aws kms update-alias" in str(outcome.error)
        assert f"--target-key-id {key}" in str(outcome.error)
    account.set_key(key, "Enabled")
    assert account.state() == before


def test_a_key_that_lost_alias_and_tags_is_never_doubled(account: Account) -> None:
    key = account.store()
    account.cloud.aliases.clear()
    account.cloud.keys[key].tags = {}
    (outcome,) = account.reconciler.keep([REGION])
    assert f"aws kms tag-resource --region {REGION} --key-id {key}" in str(outcome.error)
    assert list(account.cloud.keys) == [key]


def test_a_spare_key_is_discarded_once_it_is_an_hour_old(account: Account) -> None:
    key = account.store()
    spare = account.keys.create(SPEC, key_policy(SPEC), Use.UNUSED)
    account.cloud.keys[spare].born = account.now
    account.now += 3600
    assert verbs(account) == []
    account.now += 1
    assert verbs(account) == [KeepVerb.DISCARD_KEY]
    assert (account.key(spare), account.key(key)) == ("PendingDeletion", "Enabled")
    assert verbs(account) == []


def test_a_key_that_was_ever_in_use_is_never_spare(account: Account) -> None:
    account.store()
    once = account.keys.create(SPEC, key_policy(SPEC), Use.UNUSED)
    account.keys.write(SPEC, once, KeyAspect.TAGS, {STATE_TAG: Use.IN_USE})
    assert verbs(account) == []
    assert account.key(once) == "Enabled"


def test_a_key_that_a_parameter_names_is_never_spare(account: Account) -> None:
    account.store()
    named = account.keys.create(SPEC, key_policy(SPEC), Use.UNUSED)
    account.parameters.put(HOME, f"{SPEC.home_path}/key-arn", named)
    (outcome,) = account.reconciler.keep([REGION])
    assert outcome.error  # which of the two keys is right is for a person to say
    assert account.key(named) == "Enabled"


def test_a_bucket_that_was_deleted_is_made_again_and_announced(account: Account) -> None:
    account.store()
    account.cloud.buckets.clear()
    assert KeepVerb.ANNOUNCE in verbs(account)
    assert [store.bucket for store in account.announced()] == [SPEC.bucket]
    assert verbs(account) == []


def test_a_lifecycle_that_keeps_longer_is_left_to_a_person_with_the_command(
    account: Account,
) -> None:
    account.store()
    longer = [
        {"ID": "keep", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 365}}
    ]
    account.buckets.write(SPEC, BucketAspect.LIFECYCLE, longer)
    (outcome,) = account.reconciler.keep([REGION])
    (step,) = outcome.alarms
    assert step.command is not None
    assert step.command.startswith("aws s3api put-bucket-lifecycle-configuration")
    assert account.buckets.read(SPEC, BucketAspect.LIFECYCLE) == longer


@pytest.mark.parametrize("value", ["garbage", " ", "arn:aws:kms:eu-west-1:999999999999:key/1"])
def test_a_parameter_edited_to_nonsense_is_written_again(account: Account, value: str) -> None:
    account.store()
    before = account.published()
    for name in before:
        where = HOME if name.startswith(SPEC.home_path) else REGION
        account.parameters.put(where, name, value)
    account.begin_anew()
    assert verbs(account) == [KeepVerb.PUBLISH_REGIONAL, KeepVerb.PUBLISH_HOME]
    assert account.published() == before
    assert account.mutations == ["PutParameter"] * 4
