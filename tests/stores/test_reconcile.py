"""From an empty region to a store, and back to it from any drift."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from foothold.errors import (
    FootholdError,
    PermanentError,
    RegionRefusedError,
    TemporaryError,
)
from foothold.stores import reconcile, retirement
from foothold.stores.aspects import Aspect, BucketAspect, KeyAspect, desired_settings, turn
from foothold.stores.model import StoreSpec, Use
from foothold.stores.register import ArtifactStore
from foothold.stores.steps import KeepVerb, Outcome
from proof.cloud import STRANGER
from tests.stores.worlds import DRIFTED, HOME, PLANE, SPEC, STATUSES, World, in_memory


def ready(outcomes: tuple[Outcome, ...]) -> ArtifactStore:
    (outcome,) = outcomes
    assert outcome.error is None
    assert outcome.store is not None
    return outcome.store


@pytest.mark.parametrize("region", ["eu-central-1", "eu-west-1", "us-east-1", "me-south-1"])
def test_a_region_without_anything_gets_a_store(world: World, region: str) -> None:
    store = ready(world.reconciler.reconcile([region]))
    spec = PLANE.spec(region)
    assert store.bucket == spec.bucket
    assert store.key_arn.startswith(f"arn:aws:kms:{region}:")
    for where, path in ((region, spec.regional_path), (HOME, spec.home_path)):
        assert world.parameters.below(where, path) == spec.parameters(path, store.key_arn)


def test_every_setting_of_a_new_store_is_as_desired(world: World) -> None:
    ready(world.reconciler.reconcile(["eu-west-1"]))
    assert world.reconciler.plan(["eu-west-1"]) == {"eu-west-1": ()}


def test_reconciling_twice_changes_nothing_the_second_time(world: World) -> None:
    first = ready(world.reconciler.reconcile(["eu-west-1"]))
    (again,) = world.reconciler.reconcile(["eu-west-1"])
    assert (again.store, again.steps) == (first, ())


@pytest.mark.parametrize(
    ("aspect", "drifted"),
    DRIFTED.items(),
)
def test_a_drifted_setting_is_put_right_and_nothing_else(
    world: World, aspect: Aspect, drifted: object
) -> None:
    store = ready(world.reconciler.reconcile(["eu-west-1"]))
    if isinstance(aspect, KeyAspect):
        world.keys.write(SPEC, store.key_arn, aspect, drifted)
    else:
        world.buckets.write(SPEC, aspect, drifted)
    (outcome,) = world.reconciler.reconcile(["eu-west-1"])
    assert outcome.error is None
    assert [(step.verb, step.aspect) for step in outcome.steps] == [(KeepVerb.SET, aspect)]
    assert world.reconciler.plan(["eu-west-1"]) == {"eu-west-1": ()}


def test_a_parameter_overwritten_by_hand_is_written_again(world: World) -> None:
    ready(world.reconciler.reconcile(["eu-west-1"]))
    world.parameters.put("eu-west-1", f"{SPEC.regional_path}/bucket", "somebody-elses")
    (outcome,) = world.reconciler.reconcile(["eu-west-1"])
    assert [step.verb for step in outcome.steps] == [KeepVerb.PUBLISH_REGIONAL]
    found = world.parameters.below("eu-west-1", SPEC.regional_path)
    assert found[f"{SPEC.regional_path}/bucket"] == SPEC.bucket


def test_a_lost_alias_is_pointed_at_the_same_key_again() -> None:
    world = in_memory()
    first = ready(world.reconciler.reconcile(["eu-west-1"]))
    world.cloud.aliases.clear()
    assert ready(world.reconciler.reconcile(["eu-west-1"])) == first
    assert len(world.cloud.keys) == 1


def test_a_reply_lost_after_creating_the_key_leaves_no_second_key() -> None:
    world = in_memory()

    world.refuse("CreateAlias", "KMSInternalException", 500)
    (lost,) = world.reconciler.reconcile(["eu-west-1"])
    assert isinstance(lost.error, TemporaryError)
    world.serve()
    ready(world.reconciler.reconcile(["eu-west-1"]))
    assert len(world.cloud.keys) == 1


def test_a_lost_race_for_the_alias_keeps_the_winners_key_and_discards_our_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = desired_settings(SPEC, "")[KeyAspect.POLICY]
    winner = world.keys.create(SPEC, policy)
    create, discarded = world.keys.create, []

    def create_too_late(spec: StoreSpec, policy: Mapping[str, Any], use: Use) -> str:
        ours = create(spec, policy, use)
        world.keys.point_alias(SPEC, winner)
        return ours

    monkeypatch.setattr(world.keys, "create", create_too_late)
    monkeypatch.setattr(world.keys, "tagged", lambda _spec: ())  # not listed yet
    monkeypatch.setattr(world.keys, "discard", lambda _spec, arn: discarded.append(arn))
    store = ready(world.reconciler.reconcile(["eu-west-1"]))
    assert store.key_arn == winner
    assert len(discarded) == 1
    assert winner not in discarded


@pytest.mark.parametrize(
    ("region", "kind", "words"),
    [
        ("eu-nowhere-1", PermanentError, "not a region that account"),
        ("af-south-1", PermanentError, "aws account enable-region --region-name af-south-1"),
        ("eu-south-1", TemporaryError, "still being enabled"),
    ],
)
def test_a_region_that_cannot_be_used_is_refused_before_anything_is_made(
    region: str, kind: type[FootholdError], words: str
) -> None:
    world = in_memory()
    (outcome,) = world.reconciler.reconcile([region])
    assert isinstance(outcome.error, kind)
    assert words in str(outcome.error)
    assert world.mutations == []


def test_a_region_whose_status_is_not_known_everywhere_is_temporary() -> None:
    """EC2 does not know yet what the Account Management API does."""
    world = in_memory()
    reconciler = world.reconciler
    regions: Any = reconciler._regions
    regions.opt_in_status = lambda _region: "ENABLED"
    (outcome,) = reconciler.reconcile(["af-south-1"])
    assert isinstance(outcome.error, TemporaryError)
    assert "a moment ago" in str(outcome.error)


def test_a_region_is_told_by_its_status_where_nobody_knows_more() -> None:
    world = in_memory()
    reconciler = world.reconciler
    regions: Any = reconciler._regions
    regions.opt_in_status = lambda _region: None
    (outcome,) = reconciler.reconcile(["af-south-1"])
    assert isinstance(outcome.error, PermanentError)
    assert "af-south-1 is disabled" in str(outcome.error)


@pytest.mark.parametrize(
    ("region", "kind"), [("ap-east-1", TemporaryError), ("eu-west-1", RegionRefusedError)]
)
def test_a_region_that_opted_in_and_still_refuses_is_temporary(
    region: str, kind: type[FootholdError]
) -> None:
    world = in_memory()
    world.refuse("CreateBucket", "InvalidToken")
    (outcome,) = world.reconciler.reconcile([region])
    assert type(outcome.error) is kind


def test_a_failing_region_does_not_stop_the_others() -> None:
    world = in_memory()
    outcomes = world.reconciler.reconcile(["eu-west-1", "eu-nowhere-1", "us-east-1"])
    assert [bool(outcome.store) for outcome in outcomes] == [True, False, True]


def test_a_bucket_of_another_account_is_refused_and_nothing_is_written() -> None:
    world = in_memory()
    world.cloud.add_bucket(SPEC.bucket, SPEC.region, STRANGER)
    (outcome,) = world.reconciler.reconcile(["eu-west-1"])
    assert isinstance(outcome.error, PermanentError)
    assert world.mutations == []


def test_nothing_is_published_while_the_store_cannot_be_verified() -> None:
    world = in_memory()
    world.refuse("HeadBucket", "503", 503)
    (outcome,) = world.reconciler.reconcile(["eu-west-1"])
    assert isinstance(outcome.error, TemporaryError)
    assert world.cloud.parameters == {}


def test_a_steady_tick_reads_six_times_a_region_and_writes_nothing() -> None:
    world = in_memory()
    regions = [name for name, status in STATUSES.items() if status.startswith("ENABLED")]
    world.reconciler.reconcile(regions)
    for tick in range(5):
        world.begin_anew()
        world.reconciler.reconcile(regions, turn(tick))
        shared = {"DescribeRegions", "GetParametersByPath"}
        assert sum(call not in shared for call in world.calls) == 6 * len(regions)
        assert world.mutations == []


def test_drift_seen_in_a_glance_is_repaired_from_a_whole_look() -> None:
    world = in_memory()
    ready(world.reconciler.reconcile(["eu-west-1"]))
    del world.cloud.buckets[SPEC.bucket].settings["policy"]
    world.buckets.write(SPEC, BucketAspect.VERSIONING, "Suspended")
    glance = (BucketAspect.POLICY,)
    (outcome,) = world.reconciler.reconcile(["eu-west-1"], glance)
    repaired = {step.aspect for step in outcome.steps}
    assert repaired == {BucketAspect.POLICY, BucketAspect.VERSIONING}


def test_what_is_desired_is_listed_claimed_or_already_there() -> None:
    world = in_memory()
    world.parameters.put(HOME, "/foothold/regions", "us-east-1, eu-west-1")
    world.parameters.put(HOME, "/foothold/claims/ap-east-1/app-1-Store", "app")
    world.parameters.put(HOME, "/foothold/artifact-stores/me-south-1/bucket", "b")
    assert world.reconciler.desired_regions() == (
        "ap-east-1", "eu-west-1", "me-south-1", "us-east-1",
    )  # fmt: skip


def test_all_enabled_means_every_region_that_can_be_used() -> None:
    world = in_memory()
    world.parameters.put(HOME, "/foothold/regions", "all-enabled")
    assert set(world.reconciler.desired_regions()) == {
        name for name, status in STATUSES.items() if status.startswith("ENABLED")
    }


def test_a_step_that_nobody_carries_out_is_a_type_error(tmp_path: Path) -> None:
    for module, case, forgotten in (
        (reconcile, "KeepVerb.LEAVE | KeepVerb.DISTRUST", "KeepVerb.LEAVE"),
        (retirement, " | RetireVerb.CALL_OFF", ""),
    ):
        path = Path(str(module.__file__))
        assert path.read_text().count(case) == 1
        (tmp_path / path.name).write_text(path.read_text().replace(case, forgotten))
    root = Path(__file__).parents[2]
    command = ("-m", "mypy", "--config-file", "pyproject.toml", "--cache-dir", tmp_path / "cache")
    told = subprocess.run(
        [sys.executable, *command, tmp_path / "reconcile.py", tmp_path / "retirement.py"],
        cwd=root, check=False, capture_output=True, text=True,
    )  # fmt: skip
    for verb in ("KeepVerb.DISTRUST", "RetireVerb.CALL_OFF"):
        assert f'unhandled case for values of type "Literal[{verb}]"' in told.stdout
