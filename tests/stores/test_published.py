"""A parameter is a hint, never a proof: which published stores may be used."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.errors import PermanentError
from foothold.stores.model import HOME_TAG, REGION_TAG, STACK_TAG
from foothold.stores.published import Published
from foothold.stores.register import Adoption, ArtifactStore, Register
from foothold.stores.trust import PublishedStores, Trust
from proof.cloud import DEFAULT_ENCRYPTION, STRANGER, Refused
from tests.stores.worlds import ACCOUNT, HOME, PLANE, InMemory, encrypted_with, in_memory

PATH = "/foothold/artifact-stores"
REGION = "eu-west-1"
OTHER = "999999999999"
REGIONS = (REGION, "us-east-1", "me-south-1")


def key(region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:kms:{region}:{account}:key/11111111-2222"


@pytest.fixture
def world() -> InMemory:
    """Three stores, as Foothold publishes them."""
    world = in_memory()
    for region in REGIONS:
        spec = PLANE.spec(region)
        at = spec.parameters(spec.home_path, key(region))
        for name, value in at.items():
            world.parameters.put(HOME, name, value)
        world.add_bucket(spec.bucket, region, key(region), spec.tags)
    world.begin_anew()
    return world


def tamper(world: InMemory, leaf: str, value: str) -> None:
    world.parameters.put(HOME, f"{PATH}/{REGION}/{leaf}", value)


def in_a_function(world: InMemory) -> Published:
    trust = Trust(HOME, world.store_buckets, lambda: ACCOUNT, PLANE)
    return PublishedStores(lambda: register(world), trust).ready()


def on_a_command_line(world: InMemory) -> Published:
    """Which knows neither NamePrefix nor the name of the control plane's stack."""
    trust = Trust(HOME, world.store_buckets, lambda: ACCOUNT)
    return PublishedStores(lambda: register(world), trust).ready()


def register(world: InMemory) -> Register:
    return PLANE.register(world.parameters.below(HOME, PATH))


Reader = Callable[[InMemory], Published]
EVERY_READER = pytest.mark.parametrize("read", [in_a_function, on_a_command_line])


@EVERY_READER
def test_the_stores_that_foothold_published_may_be_used(world: InMemory, read: Reader) -> None:
    published = read(world)
    assert set(published.stores) == set(REGIONS)
    assert published.stores[REGION] == ArtifactStore(REGION, PLANE.spec(REGION).bucket, key())
    assert published.refused == {}


FOREIGN = {
    "another account's bucket": ("bucket", f"foothold-{OTHER}-{REGION}-an"),
    "another region's bucket": ("bucket", PLANE.spec("us-east-1").bucket),
    "no bucket's name": ("bucket", "arn:aws:s3:eu-west-1:123456789012:accesspoint/x"),
    "a bucket that is not ours": ("bucket", "elsewhere"),
    "a bucket of this account that is not Foothold's": ("bucket", "mine"),
    "another account's key": ("key-arn", key(account=OTHER)),
    "another region's key": ("key-arn", key("us-east-1")),
    "another partition's key": ("key-arn", key().replace("arn:aws:", "arn:aws-cn:")),
    "an alias": ("key-arn", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/foothold/artifacts"),
    "no key": ("key-arn", "garbage"),
    "another key of this account": ("key-arn", f"{key()}-other"),
}


@EVERY_READER
@pytest.mark.parametrize("what", list(FOREIGN))
def test_a_parameter_that_points_elsewhere_is_not_followed_and_stops_no_other_region(
    world: InMemory, read: Reader, what: str
) -> None:
    leaf, value = FOREIGN[what]
    tamper(world, leaf, value)
    world.add_bucket("elsewhere", REGION, key(), {}).owner = STRANGER
    world.add_bucket("mine", REGION, key(), {})
    published = read(world)
    assert set(published.stores) == set(REGIONS) - {REGION}
    (line,) = published.refused.values()
    assert line.startswith(f"the artifact store of {REGION} is not used: ")
    assert value in line
    assert f"`foothold plan {REGION}`" in line
    assert "\n" not in line


@EVERY_READER
def test_another_accounts_bucket_and_key_together_are_refused_without_a_call(
    world: InMemory, read: Reader
) -> None:
    tamper(world, "bucket", "evil")
    tamper(world, "key-arn", key(account=OTHER))
    world.add_bucket("evil", REGION, key(account=OTHER), {})
    assert set(read(world).refused) == {REGION}
    assert world.calls.count("GetBucketEncryption") == len(REGIONS) - 1


def test_a_bucket_whose_default_key_was_changed_is_not_used_until_it_is_put_right(
    world: InMemory,
) -> None:
    settings = world.cloud.buckets[PLANE.spec(REGION).bucket].settings
    settings["encryption"] = DEFAULT_ENCRYPTION
    assert "encrypts with no key of KMS" in in_a_function(world).refused[REGION]
    settings["encryption"] = encrypted_with(key())
    assert in_a_function(world).refused == {}


def test_a_region_that_cannot_be_asked_is_refused_with_the_reason(world: InMemory) -> None:
    def busy(call: str) -> None:
        if call == "GetBucketEncryption":
            world.serve()
            raise Refused("SlowDown", 503)

    world.watch(busy)
    published = in_a_function(world)
    assert len(published.stores) == len(REGIONS) - 1
    (line,) = published.refused.values()
    assert "SlowDown" in line


def adopted(world: InMemory, **tags: str) -> None:
    tamper(world, "bucket", "old-artifacts")
    tamper(world, "adopted", Adoption("old-artifacts", key()).text)
    world.add_bucket("old-artifacts", REGION, key(), tags)


@EVERY_READER
def test_an_adopted_bucket_is_known_by_its_tags(world: InMemory, read: Reader) -> None:
    adopted(world, **PLANE.spec(REGION).tags)
    assert read(world).stores[REGION].bucket == "old-artifacts"


@EVERY_READER
@pytest.mark.parametrize(
    "tags",
    [
        {},
        {STACK_TAG: "foothold"},
        {STACK_TAG: "foothold", HOME_TAG: HOME, REGION_TAG: "us-east-1"},
        {STACK_TAG: "foothold", HOME_TAG: "us-east-1", REGION_TAG: REGION},
    ],
)
def test_a_record_of_an_adoption_proves_nothing_without_the_tags(
    world: InMemory, read: Reader, tags: dict[str, str]
) -> None:
    adopted(world, **tags)
    assert "is not tagged as Foothold's" in read(world).refused[REGION]


def test_a_function_takes_the_stores_of_its_own_stack_only(world: InMemory) -> None:
    adopted(world, **{STACK_TAG: "another", HOME_TAG: HOME, REGION_TAG: REGION})
    assert "is not tagged as Foothold's" in in_a_function(world).refused[REGION]


def test_a_garbled_record_of_an_adoption_refuses_the_region_alone(world: InMemory) -> None:
    tamper(world, "adopted", "garbage")
    assert "does not hold an adoption" in in_a_function(world).refused[REGION]


def test_a_store_of_a_function_is_proven_by_one_read(world: InMemory) -> None:
    in_a_function(world)
    assert sorted(world.calls) == sorted(
        ["GetParametersByPath", *["GetBucketEncryption"] * len(REGIONS)]
    )


def test_only_the_regions_that_are_asked_about_are_looked_at(world: InMemory) -> None:
    trust = Trust(HOME, world.store_buckets, lambda: ACCOUNT, PLANE)
    found = register(world)
    assert set(trust.among(lambda: found, ["us-east-1"]).stores) == {"us-east-1"}
    assert world.calls.count("GetBucketEncryption") == 1


def test_a_caller_whose_account_nobody_knows_uses_nothing(world: InMemory) -> None:
    def nobody() -> str:
        raise PermanentError("cannot ask whose credentials these are")

    trust = Trust(HOME, world.store_buckets, nobody)
    with pytest.raises(PermanentError, match="whose credentials"):
        trust.among(lambda: register(world))


@given(st.text(), st.text())
def test_whatever_a_parameter_says_only_the_regions_own_store_may_be_used(
    bucket: str, key_arn: str
) -> None:
    spec = PLANE.spec(REGION)
    world = in_memory()
    trust = Trust(HOME, world.store_buckets, lambda: ACCOUNT, PLANE)
    below = spec.parameters(spec.home_path, key_arn) | {f"{spec.home_path}/bucket": bucket}
    assert trust.among(lambda: PLANE.register(below)).stores == {}


def test_a_regions_store_is_had_or_the_reason_why_not() -> None:
    store = ArtifactStore("eu-west-1", "bucket", "key")
    published = Published({"eu-west-1": store}, {"us-east-1": "somebody changed it"})
    assert published.usable("eu-west-1", "there is none") == store
    with pytest.raises(PermanentError, match=r"^somebody changed it$"):
        published.usable("us-east-1", "there is none")
    with pytest.raises(PermanentError, match=r"^there is none$"):
        published.usable("sa-east-1", "there is none")
