"""A bucket and a key that exist already become a region's store."""

import json
from collections.abc import Callable

import pytest

from foothold.errors import PermanentError
from foothold.stores.aspects import BucketAspect
from foothold.stores.gateways.s3 import EVERYBODY
from proof.cloud import DEFAULT_ENCRYPTION, STRANGER
from tests.stores.accounts import REGION, SPEC, Account
from tests.stores.worlds import HOME, encrypted_with

OTHER_KEY = "arn:aws:kms:eu-west-1:123456789012:key/9"


def test_an_adopted_store_is_published_and_kept_like_the_others(account: Account) -> None:
    bucket, key = account.put_theirs()
    outcome = account.adoptions.adopt(REGION, bucket, key)
    assert outcome.error is None
    assert set(account.published().values()) >= {bucket, key}
    assert account.versions(bucket) == 7
    assert SPEC.bucket not in account.cloud.buckets
    assert account.reconciler.plan([REGION]) == {REGION: ()}
    account.drop_policy(bucket)
    (kept,) = account.reconciler.keep([REGION])
    assert [step.aspect for step in kept.steps] == [BucketAspect.POLICY]


def test_adopting_the_same_again_changes_nothing(account: Account) -> None:
    bucket, key = account.put_theirs()
    account.adoptions.adopt(REGION, bucket, key)
    before = account.state()
    assert account.adoptions.adopt(REGION, bucket, key).error is None
    assert account.state() == before


def test_retiring_an_adopted_store_gives_bucket_and_key_back_whole(account: Account) -> None:
    bucket, key = account.put_theirs()
    account.adoptions.adopt(REGION, bucket, key)
    account.retire()
    assert account.versions(bucket) == 7
    assert account.key(key) == "Enabled"
    assert account.cloud.aliases == {}
    assert account.cloud.keys[key].tags == {"owner": "platform"}
    assert account.cloud.buckets[bucket].tags == {"owner": "platform"}
    own = account.store()  # and the region can have a store of Foothold's own
    assert own != key


def test_an_adoption_cut_short_names_the_key_and_makes_no_other(account: Account) -> None:
    bucket, key = account.put_theirs()

    def die(call: str) -> None:
        if call == "TagResource":
            raise PermanentError("cut short")

    account.watch(die)
    with pytest.raises(PermanentError, match="cut short"):
        account.adoptions.adopt(REGION, bucket, key)
    account.serve()
    (outcome,) = account.reconciler.keep([REGION])
    assert key in str(outcome.error)
    assert list(account.cloud.keys) == [key]
    assert account.adoptions.adopt(REGION, bucket, key).error is None


def test_an_adopted_bucket_that_is_gone_is_not_made_again(account: Account) -> None:
    bucket, key = account.put_theirs()
    account.adoptions.adopt(REGION, bucket, key)
    account.cloud.buckets.clear()
    (outcome,) = account.reconciler.keep([REGION])
    assert "old-artifacts, which was adopted for eu-west-1, is gone" in str(outcome.error)
    assert account.cloud.buckets == {}


Spoil = Callable[[Account, str, str], object]


def set_up(setting: str, value: object) -> Spoil:
    return lambda account, bucket, _key: account.cloud.buckets[bucket].settings.update(
        {setting: value}
    )


PARTNER = {
    "Statement": {
        "Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "222222222222"},
        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::old-artifacts/*",
    }
}  # fmt: skip
OPEN = {"Grantee": {"Type": "Group", "URI": EVERYBODY[0]}, "Permission": "READ"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda a, b, _k: setattr(a.cloud.buckets[b], "owner", STRANGER),
            "belongs to another account",
        ),
        (lambda a, _b, _k: a.cloud.buckets.clear(), "there is no bucket"),
        (lambda a, b, _k: a.cloud.buckets[b].grants.append(OPEN), r"is public \(its ACL lets"),
        (set_up("encryption", DEFAULT_ENCRYPTION), "encrypts with AES256"),
        (
            set_up("encryption", encrypted_with(OTHER_KEY)),
            "encrypts with arn:aws:kms:.*/9, not with",
        ),
        (
            lambda a, b, _k: a.cloud.buckets[b].tags.update({"foothold:stack": "x"}),
            "belongs to x in eu-west-1",
        ),
        (set_up("policy", json.dumps(PARTNER)), r"Foothold's would not \(Partner\)"),
        (lambda a, _b, _k: a.cloud.keys.clear(), "there is no key"),
        (lambda a, _b, k: a.set_key(k, "Disabled"), "is Disabled: enable it"),
        (
            lambda a, _b, k: setattr(a.cloud.keys[k], "spec", "RSA_2048"),
            "not a symmetric customer managed key",
        ),
        (lambda a, _b, _k: a.store(), "has the store foothold-123456789012-eu-west-1-an already"),
    ],
)
def test_what_cannot_be_adopted_is_refused_and_nothing_is_changed(
    account: Account, spoil: Spoil, words: str
) -> None:
    bucket, key = account.put_theirs()
    spoil(account, bucket, key)
    before = account.state()
    with pytest.raises(PermanentError, match=words):
        account.adoptions.adopt(REGION, bucket, key)
    assert account.state() == before


@pytest.mark.parametrize(
    "key",
    [
        "alias/theirs",
        "0",
        "arn:aws:kms:us-east-1:123456789012:key/0",
        "arn:aws:kms:eu-west-1:999999999999:key/0",
        "arn:aws-cn:kms:eu-west-1:123456789012:key/0",
    ],
)
def test_a_key_of_another_region_account_or_by_another_name_is_refused(
    account: Account, key: str
) -> None:
    bucket, _ = account.put_theirs()
    with pytest.raises(PermanentError, match="is not a key in eu-west-1 of account 123456789012"):
        account.adoptions.adopt(REGION, bucket, key)
    assert account.mutations == []


def test_policies_are_replaced_where_that_is_asked_for(account: Account) -> None:
    bucket, key = account.put_theirs()
    account.cloud.buckets[bucket].settings["policy"] = json.dumps(PARTNER)
    outcome = account.adoptions.adopt(REGION, bucket, key, replace_policies=True)
    assert outcome.error is None


@pytest.mark.parametrize("text", ["garbage", "{}", '{"bucket": 7, "key_arn": "x"}'])
def test_an_adoption_edited_to_nonsense_is_named_and_changes_nothing(
    account: Account, text: str
) -> None:
    account.store()
    account.parameters.put(HOME, SPEC.adoption_parameter, text)
    before = account.state()
    (outcome,) = account.reconciler.keep([REGION])
    assert SPEC.adoption_parameter in str(outcome.error)
    assert account.state() == before
