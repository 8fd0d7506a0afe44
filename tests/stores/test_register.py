"""The tree of parameters: what is called how, and what it says."""

import json

import pytest

from foothold.errors import PermanentError
from foothold.stores.register import (
    Adoption,
    ArtifactStore,
    Names,
    Phase,
    Register,
    Retirement,
    WantedBy,
)
from foothold.stores.wanted import OpenRequest, RegionList, RegionPolicy

NAMES = Names("/foothold")
REGION = "eu-west-1"
AT_HOME = f"/foothold/artifact-stores/{REGION}"
ASKED = OpenRequest(1_800_000_000, "not enabled", asked=True)
NOTED = OpenRequest(1_800_000_000, "S3 is busy", asked=False)


def test_every_parameter_has_the_name_that_the_documentation_and_the_template_give_it() -> None:
    assert (NAMES.regions, NAMES.region_policy) == ("/foothold/regions", "/foothold/region-policy")
    assert (NAMES.service_token, NAMES.turn) == ("/foothold/service-token", "/foothold/turn")
    assert NAMES.reconcile_function == "/foothold/reconcile-function"
    assert NAMES.package_function == "/foothold/package-function"
    assert NAMES.review_function == "/foothold/review-function"
    assert NAMES.rollout_function == "/foothold/rollout-function"
    assert NAMES.pipeline("orders") == "/foothold/pipelines/orders"
    assert NAMES.pipeline_regions == "/foothold/pipeline-regions"
    assert NAMES.acceptance_run == "/foothold/acceptance/run"
    assert (NAMES.store(REGION), NAMES.own_store) == (AT_HOME, "/foothold/artifact-store")
    assert NAMES.publishing(AT_HOME) == (f"{AT_HOME}/bucket", f"{AT_HOME}/key-arn")
    assert (NAMES.retirement(REGION), NAMES.adoption(REGION)) == (
        f"{AT_HOME}/retired",
        f"{AT_HOME}/adopted",
    )
    assert NAMES.claim(REGION, "app.1.Store") == f"/foothold/claims/{REGION}/app.1.Store"
    assert NAMES.request(REGION) == f"/foothold/requests/{REGION}"


@pytest.mark.parametrize(
    ("name", "region"),
    [
        (f"{AT_HOME}/bucket", REGION),
        (f"{AT_HOME}/retired", REGION),
        ("/foothold/artifact-stores/", ""),
        ("/foothold/artifact-stores", None),
        ("/foothold/artifact-store/bucket", None),
        (f"/elsewhere{AT_HOME}/bucket", None),
    ],
)
def test_the_name_of_a_parameter_tells_whose_store_it_is_about(
    name: str, region: str | None
) -> None:
    assert NAMES.region_of_store(name) == region


@pytest.mark.parametrize(
    ("name", "is_about"),
    [
        ("/foothold/regions", True),
        (f"{AT_HOME}/bucket", True),
        ("/foothold/artifact-store/key-arn", True),
        ("/foothold/regions/more", False),
        ("/foothold/artifact-stores", False),
        ("/foothold/artifact-store-of-mine/bucket", False),
        (f"/foothold/claims/{REGION}/a.b.c", False),
    ],
)
def test_only_the_list_and_the_stores_own_parameters_are_about_stores(
    name: str, *, is_about: bool
) -> None:
    assert NAMES.is_about_stores(name) is is_about


@pytest.mark.parametrize(("region", "partition"), [(REGION, "aws"), ("cn-north-1", "aws-cn")])
def test_the_arn_of_a_bucket_names_its_partition(region: str, partition: str) -> None:
    assert ArtifactStore(region, "b", "k").bucket_arn == f"arn:{partition}:s3:::b"


def test_the_record_of_a_retirement_says_how_far_it_is() -> None:
    assert json.loads(Retirement(Phase.ASKED, 7).text) == {
        "phase": "asked", "since": 7, "key_arn": None, "deleted": 0, "reason": None,
    }  # fmt: skip
    assert [str(phase) for phase in Phase] == [
        "asked", "retiring", "retired", "restoring", "called off",
    ]  # fmt: skip


def test_a_retirement_keeps_its_mark_whichever_way_it_goes() -> None:
    retirement = Retirement(Phase.RETIRING, 7, deleted=3)
    assert (retirement.mark, retirement.to(Phase.RETIRED)) == (
        "7",
        Retirement(Phase.RETIRED, 7, deleted=3),
    )


def test_a_store_is_named_where_its_bucket_and_key_are_both_published() -> None:
    below = {
        f"{AT_HOME}/bucket": "a-bucket",
        f"{AT_HOME}/key-arn": "a-key",
        "/foothold/artifact-stores/us-east-1/bucket": "a-bucket-whose-key-is-still-to-come",
        "/foothold/artifact-stores/us-west-2/key-arn": "a-key-without-a-bucket",
        "/elsewhere/eu-west-3/bucket": "b",
        "/elsewhere/eu-west-3/key-arn": "k",
    }
    register = Register(NAMES, below)
    assert register.stores == {REGION: ArtifactStore(REGION, "a-bucket", "a-key")}
    assert register.regions == (REGION, "us-east-1", "us-west-2")


def test_what_is_written_is_read_again() -> None:
    adoption = Adoption("theirs", "arn:aws:kms:eu-west-1:1:key/1")
    retirement = Retirement(Phase.CALLED_OFF, 7, "arn:aws:kms:::key/1", 3, "it is used")
    policy = RegionPolicy(("eu-*",), 5)
    register = Register(
        NAMES,
        {
            NAMES.adoption(REGION): adoption.text,
            NAMES.retirement(REGION): retirement.text,
            NAMES.request(REGION): NOTED.text,
            NAMES.region_policy: policy.text,
            NAMES.regions: "eu-west-1,all-enabled,-ap-east-1",
        },
    )
    assert register.adoption(REGION) == adoption
    assert register.retirement(REGION) == retirement
    assert (register.has_retirement(REGION), register.has_retirement("us-east-1")) == (True, False)
    assert register.requests == {REGION: NOTED}
    assert register.region_policy == policy
    assert register.listed == RegionList((REGION,), all_enabled=True, excepted=("ap-east-1",))


def test_of_a_region_of_which_nothing_is_written_nothing_is_read() -> None:
    register = Register(
        NAMES, {NAMES.retirement("us-east-1"): "x", NAMES.adoption("us-east-1"): ""}
    )
    assert (register.retirement(REGION), register.adoption(REGION)) == (None, None)
    assert (register.listed, register.region_policy) == (RegionList(), RegionPolicy())
    assert (register.claims, register.requests, register.wanted()) == ({}, {}, {})


RETIREMENT = json.loads(Retirement(Phase.RETIRING, 7, "arn:aws:kms:::key/1", 3).text)


@pytest.mark.parametrize(
    ("leaf", "text"),
    [
        ("retirement", "garbage"),
        ("retirement", "{}"),
        ("retirement", json.dumps(RETIREMENT | {"key_arn": "alias/foothold"})),
        ("retirement", json.dumps(RETIREMENT | {"key_arn": 1})),
        ("retirement", json.dumps(RETIREMENT | {"phase": "gone"})),
        ("adoption", "garbage"),
        ("adoption", '{"bucket": "b"}'),
        ("adoption", '{"bucket": 1, "key_arn": "arn"}'),
    ],
)
def test_a_record_that_nobody_of_ours_wrote_is_named(leaf: str, text: str) -> None:
    name = getattr(NAMES, leaf)(REGION)
    with pytest.raises(PermanentError, match=f"the parameter {name} does not hold an? {leaf}"):
        getattr(Register(NAMES, {name: text}), leaf)(REGION)


def test_a_store_that_had_no_key_is_retired_too() -> None:
    asked = Retirement(Phase.ASKED, 7)
    assert Register(NAMES, {NAMES.retirement(REGION): asked.text}).retirement(REGION) == asked


def test_a_record_without_a_reason_is_read_as_it_was_written_before_there_were_any() -> None:
    text = json.dumps({name: value for name, value in RETIREMENT.items() if name != "reason"})
    register = Register(NAMES, {NAMES.retirement(REGION): text})
    assert register.retirement(REGION) == Retirement(Phase.RETIRING, 7, "arn:aws:kms:::key/1", 3)


def test_a_note_that_nobody_of_ours_wrote_is_no_request() -> None:
    below = {NAMES.request(REGION): "garbage", NAMES.claim(REGION, "a.1.Store"): ASKED.text}
    assert Register(NAMES, below).requests == {}


def test_a_region_is_wanted_by_claims_the_list_and_events_the_first_to_come_first() -> None:
    register = Register(
        NAMES,
        {
            NAMES.request("us-east-1"): ASKED.text,
            NAMES.request("us-west-2"): NOTED.text,
            NAMES.regions: f"me-south-1,{REGION}",
            NAMES.claim(REGION, "b.1.Store"): "b Store",
            NAMES.claim(REGION, "a.1.Store"): "a Store",
            NAMES.request(REGION): ASKED.text,
        },
    )
    wanted = register.wanted(["ap-east-1", REGION])
    assert list(wanted) == [REGION, "me-south-1", "ap-east-1", "us-east-1"]
    assert wanted == {
        REGION: WantedBy(("a.1.Store", "b.1.Store"), True, True, True),
        "me-south-1": WantedBy(listed=True),
        "ap-east-1": WantedBy(all_enabled=True),
        "us-east-1": WantedBy(requested=True),
    }
    assert wanted[REGION].names == (
        "a.1.Store",
        "b.1.Store",
        "the list",
        "all-enabled on the list",
        "an event that asked for it",
    )
    assert [region for region, by in wanted.items() if by.on_the_list] == list(wanted)[:3]
