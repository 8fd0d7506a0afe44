"""Events come twice, in another order, or never; operators edit, stacks come and go, people drift
in the console. One schedule later everything is as if all had come once and in order, and the
schedule after that changes nothing. (A setting that somebody changed is looked at in its turn, so
then it takes the schedules of one round.)

A store that nobody wants any more is kept, but a store whose only request was lost is never made:
so a region that is not desired in the end has either no store or the same one.
"""

import copy
import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proof.cloud import ACCOUNT, DEFAULT_ENCRYPTION, HOME, Cloud, footprint
from proof.flows import (
    LIST,
    ROUND,
    TURN_SECONDS,
    Flow,
    event,
    parameter_changed,
    requested,
    run,
    store_of,
)
from proof.house import Context, handler, house, saved
from proof.result import Result, Scale, side_by_side

# Few, so that what is done meets; one has global names, one is still to be opted in.
STATUSES = {
    "eu-central-1": "ENABLED_BY_DEFAULT",
    "eu-west-1": "ENABLED_BY_DEFAULT",
    "me-south-1": "ENABLED",
    "af-south-1": "DISABLED",
}
REGIONS = tuple(STATUSES)
LOST = 0.3

Operation = Callable[[Cloud], list[Callable[[], Any]]]  # what is done; the events that it causes
regions = st.sampled_from(REGIONS)


def operator_edits(names: tuple[str, ...], cloud: Cloud) -> list[Callable[[], Any]]:
    if names:
        cloud.parameters[LIST] = (",".join(names), "StringList")
    else:
        cloud.parameters.pop(LIST, None)
    return [parameter_changed(*LIST)]


def somebody_asks(names: tuple[str, ...], _cloud: Cloud) -> list[Callable[[], Any]]:
    return [requested(*names)]


def region_opts_in(name: str, cloud: Cloud) -> list[Callable[[], Any]]:
    cloud.statuses[name] = "ENABLED"
    detail = {"accountId": ACCOUNT, "regionName": name, "status": "ENABLED"}
    return [event("region_opt_in", detail=detail)]


def time_passes(cloud: Cloud) -> list[Callable[[], Any]]:
    cloud.clock += 900
    return [event("schedule")]


def stack_operation(
    kind: str,
    stack: int,
    region: str,
    twice: bool,  # noqa: FBT001  a draw
    cloud: Cloud,
) -> list[Callable[[], Any]]:
    """CloudFormation waits for its answer, so these are never lost; Lambda may repeat them."""
    uuid = f"5d1e8f60-7a3c-11f1-9b57-00000000000{stack}"
    request = saved(f"cfn_{kind}")
    request["StackId"] = f"arn:aws:cloudformation:{HOME}:{ACCOUNT}:stack/s{stack}/{uuid}"
    request["PhysicalResourceId"] = f"foothold/{ACCOUNT}/{uuid}/ArtifactStore"
    request["ResourceProperties"] |= {"Region": region}
    for _ in range(1 + twice):
        run(Flow(kind, partial(handler("artifact_store"), request, Context())), cloud)
    return []


def drift(kind: str, region: str, cloud: Cloud) -> list[Callable[[], Any]]:
    try:
        bucket, key = store_of(cloud, region)
    except (KeyError, StopIteration):
        return []
    match kind:
        case "policy":
            bucket.settings.pop("policy", None)
        case "settings":
            bucket.settings = {
                "ownership": "ObjectWriter",
                "encryption": copy.deepcopy(DEFAULT_ENCRYPTION),
            }
        case "bucket":
            cloud.buckets = {n: b for n, b in cloud.buckets.items() if b is not bucket}
        case "alias":
            del cloud.aliases[region, "alias/foothold/artifacts"]
        case "Disabled" | "PendingDeletion":
            key.state = kind
        case "parameters":
            name = f"/foothold/artifact-stores/{region}/key-arn"
            cloud.parameters[HOME, name] = ("garbage", "String")
            cloud.parameters.pop((region, "/foothold/artifact-store/bucket"), None)
            return [
                parameter_changed(HOME, name),
                parameter_changed(region, "/foothold/artifact-store/bucket"),
            ]
        case _:
            raise LookupError(kind)
    return []


SETTINGS = ("settings",)
DRIFTS = (*SETTINGS, "policy", "bucket", "alias", "Disabled", "PendingDeletion", "parameters")


class History(RuleBasedStateMachine):
    """A world in which events are lost, doubled and reordered; and what was done in it."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = Cloud(STATUSES)
        self.done: list[Operation] = []
        self.schedules = 1  # until everything has been looked at
        self.on_the_way: list[Callable[[], Any]] = []

    def _do(self, operation: Operation) -> None:
        self.done.append(operation)
        self.on_the_way += operation(self.cloud)

    @initialize(names=st.lists(regions, min_size=1, max_size=3, unique=True))
    def begin(self, names: list[str]) -> None:
        self._do(partial(operator_edits, tuple(names)))

    @rule(names=st.lists(st.sampled_from((*REGIONS, "all-enabled")), max_size=3, unique=True))
    def the_operator_edits(self, names: list[str]) -> None:
        self._do(partial(operator_edits, tuple(names)))

    @rule(names=st.lists(regions, min_size=1, max_size=2, unique=True))
    def somebody_asks(self, names: list[str]) -> None:
        self._do(partial(somebody_asks, tuple(names)))

    @rule()
    def a_region_opts_in(self) -> None:
        self._do(partial(region_opts_in, "af-south-1"))

    @rule()
    def time_passes(self) -> None:
        self._do(time_passes)

    @rule(
        kind=st.sampled_from(("create", "update", "delete")),
        stack=st.integers(0, 2),
        region=regions,
        twice=st.booleans(),
    )
    def a_stack_asks(self, kind: str, stack: int, region: str, *, twice: bool) -> None:
        self._do(partial(stack_operation, kind, stack, region, twice))

    @rule(kind=st.sampled_from(DRIFTS), region=regions)
    def somebody_drifts(self, kind: str, region: str) -> None:
        if kind in SETTINGS:
            self.schedules = ROUND
        self._do(partial(drift, kind, region))

    @precondition(lambda self: self.on_the_way)
    @rule(which=st.integers(0, 9), twice=st.booleans(), luck=st.floats(0, 1, exclude_max=True))
    def an_event_arrives_or_not(self, which: int, *, twice: bool, luck: float) -> None:
        arriving = self.on_the_way.pop(which % len(self.on_the_way))
        if luck < LOST:
            return
        for _ in range(1 + twice):
            run(Flow("an event", arriving), self.cloud)

    def teardown(self) -> None:
        in_order = Cloud(STATUSES)
        for operation in self.done:
            for arriving in operation(in_order):
                run(Flow("an event", arriving), in_order)
        in_order.clock = self.cloud.clock
        for cloud in (self.cloud, in_order):
            self._schedule(cloud)
        compare(self.cloud, in_order)
        self.cloud.calls.clear()
        self._schedule(self.cloud)
        changing = [str(call) for call in self.cloud.calls if call.writes]
        assert not changing, f"the schedule after that changed something: {changing}"

    def _schedule(self, cloud: Cloud) -> None:
        for _ in range(self.schedules):
            run(Flow("the schedule", event("schedule")), cloud)
            cloud.clock += TURN_SECONDS


def compare(cloud: Cloud, in_order: Cloud) -> None:
    """Raise AssertionError where the two worlds differ in what matters."""
    assert not footprint(cloud).orphans, f"orphan keys: {footprint(cloud).orphans}"
    claims, expected = (
        # What is noted of a region depends on whether its request came, and when.
        {
            n: v
            for n, v in one.parameters.items()
            if "/artifact-store" not in n[1] and "/requests/" not in n[1]
        }
        for one in (cloud, in_order)
    )
    assert claims == expected, f"claims {claims}, in order {expected}"
    desired = _desired(in_order)
    for region in REGIONS:
        here, there = (footprint(_only(one, region)).store for one in (cloud, in_order))
        untouched = footprint(_only(Cloud(), region)).store
        if region not in desired and untouched in (here, there):
            continue
        assert here == there, f"{region} differs:\n{here}\nin order:\n{there}"


def _desired(cloud: Cloud) -> set[str]:
    listed = set(cloud.parameters.get(LIST, ("", ""))[0].split(","))
    if "all-enabled" in listed:
        listed = set(REGIONS)
    claims = {name.split("/")[3] for _, name in cloud.parameters if "/claims/" in name}
    return listed | claims


def _only(cloud: Cloud, region: str) -> Cloud:
    """The same world, with nothing in it but this region's store."""
    one = Cloud()
    one.buckets = {n: b for n, b in cloud.buckets.items() if b.region == region}
    one.keys = {arn: key for arn, key in cloud.keys.items() if arn.split(":")[3] == region}
    one.aliases = {name: arn for name, arn in cloud.aliases.items() if name[0] == region}
    one.parameters = {
        (where, name): value
        for (where, name), value in cloud.parameters.items()
        if f"/artifact-stores/{region}/" in name or (where == region and "/artifact-store/" in name)
    }
    return one


def histories(scale: Scale) -> Result:
    """Events doubled, reordered, 30 % lost, among edits, stacks and drift."""
    each = scale.of(30, 5_000)
    return side_by_side(partial(histories_of, each), [scale.seed, scale.seed + 1])


def histories_of(count: int, seeds: Sequence[int], machine: type[History] = History) -> Result:
    done = 0

    class Counted(machine):  # type: ignore[valid-type,misc]  # a class given as a value
        def __init__(self) -> None:
            nonlocal done
            done += 1
            super().__init__()

    options = settings(
        max_examples=count,
        stateful_step_count=10,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    failures: list[str] = []
    with house():
        for number in seeds:
            with redirect_stdout(io.StringIO()):
                try:
                    run_state_machine_as_test(hypothesis.seed(number)(Counted), settings=options)
                except Exception as error:  # noqa: BLE001  whatever a history came to
                    notes = "; ".join(getattr(error, "__notes__", ()))
                    failures.append(f"seed {number}: {type(error).__name__}: {error} {notes}")
    return Result(done, tuple(failures))
