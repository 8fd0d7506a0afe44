"""Every way through the house, in one table. The proofs take all of them, also the next one.

A flow begins in a world, is one thing that AWS or an operator asks for, and may be asked again.
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from foothold.errors import FootholdError, TemporaryError
from foothold.releases.model import (
    Bake,
    OnFailure,
    Release,
    ReleaseRegion,
    ReleaseTarget,
    ReleaseTargets,
    Trial,
    configuration_name,
)
from foothold.stores.aspects import IN_TURN_AT_ONCE, LOOKED_AT_IN_TURN
from proof.cloud import ACCOUNT, HOME, STACK, Call, Cloud, Json, Perform, Refused
from proof.house import Context, handler, load, once, saved

TURN_SECONDS = 900.0

REGION = "eu-west-1"
# S3 keeps no account-regional names there, so a stranger may hold the bucket's name.
GLOBAL_NAMES_REGION = "me-south-1"
LIST = (HOME, "/foothold/regions")


# The schedule looks at a part of the settings at a time; this many turns are a round.
ROUND = math.ceil(len(LOOKED_AT_IN_TURN) / IN_TURN_AT_ONCE)


@dataclass(frozen=True)
class Flow:
    """`begin` makes the world it starts from; `ask` is one request to the function of this name.
    `answers` is how many replies to CloudFormation, `job_answers` how many to CodePipeline one
    request has to give. `turns` is how often it is asked until everything has been looked at;
    `already` is part of the refusal that means: it is done."""

    name: str
    ask: Callable[[], Any]
    begin: Callable[[], Cloud] = field(default=Cloud)
    answers: int = 0
    job_answers: int = 0
    function: str = "reconcile"
    turns: int = 1
    already: str | None = None


def run(flow: Flow, cloud: Cloud) -> FootholdError | None:
    """Ask once. Returns what the function raised for Lambda to retry; anything else that is
    raised, but for a process being killed, is a defect and passes."""
    with cloud.in_use():
        try:
            flow.ask()
        except FootholdError as error:
            return None if flow.already and flow.already in str(error) else error
    return None


def ask_all_turns(flow: Flow, cloud: Cloud) -> FootholdError | None:
    """Ask until everything has been looked at. Returns what was raised last, if anything."""
    error = None
    for turn in range(flow.turns):
        cloud.clock += TURN_SECONDS * bool(turn)
        error = run(flow, cloud) or error
    return error


# --- Requests ---------------------------------------------------------------------------------


def event(name: str, **changes: Any) -> Callable[[], Any]:
    """EventBridge delivers the saved event."""
    return lambda: handler("reconcile")(saved(name, **changes), Context())


def requested(*regions: str) -> Callable[[], Any]:
    return event("regions_requested", detail={"regions": list(regions)})


def stack(name: str, **properties: Any) -> Callable[[], Any]:
    """CloudFormation sends the saved request, with these properties instead."""
    request = saved(name)
    request["ResourceProperties"] = request["ResourceProperties"] | properties
    return lambda: handler("artifact_store")(request, Context())


def parameter_changed(region: str, name: str) -> Callable[[], Any]:
    detail = {"operation": "Update", "name": name, "type": "String"}
    return event("parameter_changed", region=region, detail=detail)


def command(**what: Any) -> Callable[[], Any]:
    """An operator's command, as the command line invokes the function."""

    def ask() -> None:
        from foothold.errors import raise_refusal

        raise_refusal(handler("reconcile")(what, Context()))

    return ask


def unreserved(ask: Callable[[], Any]) -> Callable[[], Any]:
    """The same where no concurrency is reserved for the function."""

    def asked() -> Any:
        with patch.dict(os.environ, FOOTHOLD_RECONCILE_CONCURRENCY="0"):
            return ask()

    return asked


def job() -> dict[str, Any]:
    """A job of CodePipeline that asks for packages, with the key of the home region's store."""
    request = saved("codepipeline_job")
    data = request["CodePipeline.job"]["data"]
    data["encryptionKey"]["id"] = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/0000-000000000000"
    return request


MADE_FOR = ReleaseTargets(
    "orders",
    HOME,
    (
        ReleaseTarget(
            "Prod",
            "222222222222",
            "orders",
            ((REGION,), (HOME,)),
            parameters={"Commit": "#{SourceVariables.CommitId}"},
        ),
    ),
)


def job_of_targets() -> dict[str, Any]:
    """The job of a pipeline that publishes what its releases are made for."""
    request = job()
    configuration = request["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]
    order = {"project": "orders", "execution": "1-2", "targets": MADE_FOR.digest}
    configuration["UserParameters"] = json.dumps(order)
    return request


def with_targets() -> Cloud:
    cloud = built()
    cloud.parameters[HOME, "/foothold/pipelines/orders/1"] = (MADE_FOR.text, "String")
    return cloud


def packaged(request: Callable[[], dict[str, Any]]) -> Callable[[], Any]:
    return lambda: handler("package")(request(), Context(300.0))


def released(do: str, **more: Any) -> dict[str, Any]:
    """A job of CodePipeline that asks for this action of a release."""
    request = saved(f"codepipeline_{do}")
    configuration = request["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]
    given = json.loads(configuration["UserParameters"])
    given |= {"target": "Prod", "targets": MADE_FOR.digest, **more}
    configuration["UserParameters"] = json.dumps(given)
    return request


def of_a_release(do: str, function: str) -> Callable[[], Any]:
    return lambda: handler(function)(released(do), Context(300.0))


# --- Worlds -----------------------------------------------------------------------------------


@once
def converged(*regions: str) -> Cloud:
    """A world in which these regions have their stores."""
    cloud = Cloud()
    flow = Flow("make the stores", requested(*(regions or (REGION,))))
    assert run(flow, cloud) is None
    return cloud


def store_of(cloud: Cloud, region: str = REGION) -> tuple[Any, Any]:
    """The region's bucket and aliased key."""
    key = cloud.keys[cloud.aliases[region, "alias/foothold/artifacts"]]
    bucket = next(
        b
        for name, b in cloud.buckets.items()
        if f"-{ACCOUNT}-{region}-" in name and b.owner == ACCOUNT
    )
    return bucket, key


def changed(change: Callable[[Cloud], None], *regions: str) -> Callable[[], Cloud]:
    """The converged world, after somebody changed something."""

    def begin() -> Cloud:
        cloud = converged(*regions)
        change(cloud)
        return cloud

    return begin


def _listed(value: str) -> Callable[[Cloud], None]:
    def change(cloud: Cloud) -> None:
        cloud.parameters[LIST] = (value, "StringList")

    return change


def _everything_drifted(cloud: Cloud) -> None:
    bucket, key = store_of(cloud)
    bucket.settings = {"ownership": "ObjectWriter", "versioning": "Suspended"}
    bucket.tags["team"] = "somebody-else's tag"
    key.policy = {"Version": "2012-10-17", "Statement": []}
    key.rotation = False
    for where, name in list(cloud.parameters):
        cloud.parameters[where, name] = ("garbage", "String")


def _key_pending(cloud: Cloud) -> None:
    store_of(cloud)[1].state = "PendingDeletion"


def _key_disabled(cloud: Cloud) -> None:
    store_of(cloud)[1].state = "Disabled"


def _alias_lost(cloud: Cloud) -> None:
    del cloud.aliases[REGION, "alias/foothold/artifacts"]


def _bucket_lost(cloud: Cloud) -> None:
    bucket = store_of(cloud)[0]
    cloud.buckets = {name: b for name, b in cloud.buckets.items() if b is not bucket}


@once
def claimed() -> Cloud:
    cloud = converged(HOME)
    assert run(Flow("claim", stack("cfn_create")), cloud) is None
    assert cloud.answers[-1]["Status"] == "SUCCESS", cloud.answers
    return cloud


@once
def retired() -> Cloud:
    """A world in which the region was retired."""
    cloud = with_objects()
    assert run(Flow("retire", command(command="retire", region=REGION)), cloud) is None
    return cloud


@once
def _asked_in_vain() -> Cloud:
    """An event has asked for a region that was disabled, and is enabled by now."""
    cloud = Cloud()
    cloud.statuses[REGION] = "DISABLED"
    assert run(Flow("in vain", requested(REGION)), cloud) is None
    cloud.statuses[REGION] = "ENABLED_BY_DEFAULT"
    return cloud


@once
def retiring() -> Cloud:
    """A world in which the region's store is withdrawn, and nothing of it is deleted yet."""
    cloud = with_objects()

    def slow_down(call: Call, perform: Perform) -> Json:
        if call.operation == "DeleteObjects":
            raise Refused("SlowDown", 503)
        return perform()

    cloud.meet = slow_down
    run(Flow("retire", command(command="retire", region=REGION)), cloud)
    assert len(store_of(cloud)[0].objects) > 1
    return cloud


def used_late() -> Cloud:
    """Somebody made a pipeline with the store since its retirement began."""
    cloud = retiring()
    cloud.pipelines["orders"] = f"foothold-{ACCOUNT}-{REGION}-an"
    return cloud


def of_before() -> Cloud:
    """A store that was made when no home region was written on it."""
    cloud = with_objects()
    for tags in (found.tags for found in store_of(cloud)):
        del tags["foothold:home"]
    return cloud


def with_objects() -> Cloud:
    cloud = converged(HOME, REGION)
    for number in range(3):
        store_of(cloud)[0].objects[f"orders/builds/{number}"] = [_object(b"{}")] * 2
    return cloud


# The claim of the saved requests.
CLAIM = "consumer.5d1e8f60-7a3c-11f1-9b57-0a1b2c3d4e5f.ArtifactStore"
OLD_BUCKET = "old-artifacts"
OLD_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0000-000000000001"


def to_adopt() -> Cloud:
    """A bucket and a key that somebody made before there was Foothold."""
    cloud = converged(HOME)
    key = cloud.add_key(REGION, {}, {"Version": "2012-10-17", "Statement": []})
    assert key.arn == OLD_KEY
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key.arn}
    bucket = cloud.add_bucket(OLD_BUCKET, REGION, ACCOUNT)
    bucket.settings["encryption"] = [{"ApplyServerSideEncryptionByDefault": rule}]
    bucket.objects["theirs"] = [_object(b"theirs")]
    return cloud


def adopt() -> Callable[[], Any]:
    return command(command="adopt", region=REGION, bucket=OLD_BUCKET, key_arn=OLD_KEY)


@once
def adopted() -> Cloud:
    cloud = to_adopt()
    assert run(Flow("adopt", adopt()), cloud) is None
    return cloud


def macro() -> None:
    """CloudFormation sends a template that declares a pipeline."""
    answer = handler("pipeline_macro")(saved("macro_expand"), Context())
    if answer["status"] != "success":
        raise TemporaryError(answer["errorMessage"])


def followed() -> Cloud:
    """A stack follows the stores, and does not know of the latest one."""
    cloud = converged(HOME, REGION)
    cloud.stacks["orders"] = {
        "StackName": "orders",
        "StackStatus": "CREATE_COMPLETE",
        "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/orders",
        "Tags": [{"Key": "foothold:follow", "Value": "true"}],
        "Outputs": [{"OutputKey": "FootholdStores", "OutputValue": "stale"}],
    }
    return cloud


def built() -> Cloud:
    """A build lies in the home region's store, where the saved events look for it."""
    return with_build(converged(HOME, REGION, "us-east-1"))


def with_build(cloud: Cloud) -> Cloud:
    cloud.parameters[HOME, "/foothold/service-token"] = ("arn:of-the-function", "String")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for name, text in BUILD.items():
            # The date is fixed: packages are named by what is in them.
            written.writestr(zipfile.ZipInfo(name), text)
    for key in ("orders/build.zip", "orders/BuildOutpu/a1b2c3d"):
        store_of(cloud, HOME)[0].objects[key] = [_object(archive.getvalue())]
    return cloud


def deploying() -> Cloud:
    """A pipeline has made its change sets."""
    return publishing(converged(HOME, REGION))


def publishing(cloud: Cloud) -> Cloud:
    cloud.parameters[HOME, "/foothold/pipelines/orders/1"] = (MADE_FOR.text, "String")
    queue = {
        "Action": "Add",
        "LogicalResourceId": "Queue",
        "ResourceType": "AWS::SQS::Queue",
        "Scope": [],
        "Details": [],
    }
    for region in (HOME, REGION):
        cloud.change_sets[region, "orders"] = {
            "ChangeSetName": "foothold-orders-11111111-aaaa-2222-bbbb-333333333333",
            "ChangeSetId": f"arn:aws:cloudformation:{region}:222222222222:changeSet/foothold/1",
            "StackName": "orders",
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
            "Changes": [{"Type": "Resource", "ResourceChange": queue}],
            "Parameters": [],
            "Tags": [{"Key": "foothold:release", "Value": "f" * 16}],
        }
    at_home = store_of(cloud, HOME)[0].objects
    at_home[f"orders/releases/{'f' * 16}/manifest.json"] = [_object(b'{"regions": {}}')]
    return cloud


def approved() -> Cloud:
    """What the pipeline would do was reviewed."""
    cloud = deploying()
    assert run(Flow("review", of_a_release("review", "review")), cloud) is None
    assert cloud.job_answers[-1][0] == "success", cloud.job_answers
    return cloud.copy()


def rolling() -> ReleaseTargets:
    """A target that is watched, tested and taken back."""
    (test,) = MADE_FOR.targets
    trials = (Trial("smoke", project="smoke"), Trial("probe", function="probe"))
    bake = Bake(0, ("orders-errors",))
    watched = replace(
        test, waves=((REGION,),), parameters={}, bake=bake, on_failure=OnFailure.ROLLBACK,
        trials=trials,
    )  # fmt: skip
    return replace(MADE_FOR, targets=(watched,))


def look(token: str | None = None) -> Any:
    """CodePipeline asks how the first wave does."""
    request = released("bake", targets=rolling().digest)
    request["CodePipeline.job"]["data"]["continuationToken"] = token
    probe = {"probe": lambda _: {"ok": True}}
    with patch.dict(Cloud.functions, probe):
        return handler("rollout")(request, Context(300.0))


def look_again() -> Any:
    return look(saved("codepipeline_bake")["CodePipeline.job"]["id"])


def watched_wave(cloud: Cloud | None = None) -> Cloud:
    """A wave was just deployed; what it ran before is noted, and kept."""
    from foothold.releases.actions import render_before

    cloud = (cloud or converged(HOME, REGION)).copy()
    cloud.parameters[HOME, "/foothold/service-token"] = ("arn", "String")
    cloud.parameters[HOME, "/foothold/pipelines/orders/1"] = (rolling().text, "String")
    kept = release_of(cloud)
    (target,) = kept.targets
    before = render_before(dict.fromkeys(target.cells, kept.id))
    execution = "11111111-aaaa-2222-bbbb-333333333333"
    for region, each in kept.regions.items():
        objects = cloud.buckets[each.bucket].objects
        configuration = json.dumps(target.configuration(REGION, "orders", kept.id)).encode()
        for name, body in (
            ("release.json", kept.render()),
            (f"template-export-{region}.yml", b"Resources: {}"),
            (configuration_name("Prod", region), configuration),
        ):
            objects[kept.prefix + name] = [{**_object(body), "SSEKMSKeyId": each.key_arn}]
    at_home = store_of(cloud, HOME)[0].objects
    at_home[f"orders/reviews/Prod/{execution}/before.json"] = [_object(before)]
    cloud.stacks["orders"] = {
        "StackName": "orders",
        "StackStatus": "UPDATE_COMPLETE",
        "Tags": [{"Key": "foothold:release", "Value": "f" * 16}],
    }
    return cloud


def release_of(cloud: Cloud) -> Release:
    """What the target ran before, as it is kept in the region that it is deployed in."""
    (region,) = rolling().targets[0].regions
    bucket = cloud.parameters[HOME, f"/foothold/artifact-stores/{region}/bucket"][0]
    key_arn = cloud.parameters[HOME, f"/foothold/artifact-stores/{region}/key-arn"][0]
    share = ReleaseRegion(region, bucket, key_arn, "0", "0")
    return Release("orders", {region: share}, rolling().targets)


def alarmed(cloud: Cloud | None = None) -> Cloud:
    cloud = watched_wave(cloud)
    cloud.alarm = "ALARM"
    return cloud


def looked_at() -> Cloud:
    """The build that tests the wave was started."""
    cloud = watched_wave()
    assert run(Flow("look", look), cloud) is None
    assert cloud.job_answers[-1][1].get("continuationToken"), cloud.job_answers
    return cloud.copy()


def order_signed_application() -> dict[str, Any]:
    """Packages of what holds an application of the repository, with a function to be signed."""
    return {**saved("package_direct"), "signing_profiles": {"Hello": "Production"}}


def _object(body: bytes) -> dict[str, Any]:
    return {"Body": body, "VersionId": "v", "SSEKMSKeyId": None, "ChecksumSHA256": None}


BUILD = {
    "template.yaml": """
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: Hello, Handler: app.handler, Runtime: python3.12}
  Shared:
    Type: AWS::Serverless::Application
    Properties:
      Location:
        ApplicationId: arn:aws:serverlessrepo:us-east-1:111111111111:applications/shared
        SemanticVersion: 1.0.0
""",
    "Hello/app.py": "def handler(event, context):\n    return 'hello'\n",
}


def new_update() -> dict[str, Any]:
    """Properties for the saved Update: another region than the one that is claimed."""
    return {"Region": "us-east-1"}


def _adopted_and_drifted() -> Cloud:
    cloud = adopted()
    cloud.buckets[OLD_BUCKET].settings.pop("policy")
    cloud.buckets[OLD_BUCKET].settings["versioning"] = "Suspended"
    return cloud


# --- The table ----------------------------------------------------------------------------------

FLOWS: tuple[Flow, ...] = (
    Flow("a region is requested", requested(REGION)),
    Flow("us-east-1 is requested", requested("us-east-1")),
    Flow("a region of global names is requested", requested(GLOBAL_NAMES_REGION)),
    Flow("two regions are requested", requested(REGION, "ap-east-1")),
    Flow("a region opts in", event("region_opt_in"), changed(_listed("all-enabled"))),
    Flow(
        "the operator's list changes",
        parameter_changed(HOME, "/foothold/regions"),
        changed(_listed(f"{REGION},us-east-1")),
    ),
    Flow(
        "a parameter is overwritten",
        parameter_changed(HOME, f"/foothold/artifact-stores/{REGION}/bucket"),
        changed(
            lambda cloud: cloud.parameters.update(
                {(HOME, f"/foothold/artifact-stores/{REGION}/bucket"): ("garbage", "String")}
            )
        ),
    ),
    Flow("a stack follows the stores", event("schedule"), followed, turns=ROUND),
    Flow(
        "a region is retired",
        command(command="retire", region=REGION),
        with_objects,
        already="was retired already",
    ),
    Flow(
        "a retirement is undone",
        command(command="undo", region=REGION),
        retired,
        already="nothing to undo",
    ),
    Flow("a pipeline made late calls a retirement off", event("schedule"), used_late),
    Flow(
        "a store is handed over",
        command(command="hand-over", region=REGION, to_stack="platform", to_home="us-east-1"),
        with_objects,
    ),
    Flow(
        "a store of before is claimed",
        command(command="hand-over", region=REGION, to_stack=STACK, to_home=HOME),
        of_before,
    ),
    Flow("an operator adopts a store", adopt(), to_adopt),
    Flow("an adopted store has drifted", event("schedule"), _adopted_and_drifted, turns=ROUND),
    Flow(
        "an adopted store is retired",
        command(command="retire", region=REGION),
        adopted,
        already="was retired already",
    ),
    Flow("an event asks for a retired region", requested(REGION), retired),
    Flow("a retired region is added", command(command="add", regions=[REGION]), retired),
    Flow("a region that cannot be had yet is requested", requested("af-south-1")),
    Flow("the schedule finds an open request", event("schedule"), _asked_in_vain),
    Flow("an operator looks at the plan", command(command="plan"), changed(_everything_drifted)),
    Flow("an operator looks at the claims", command(command="claims"), claimed),
    Flow(
        "an operator releases a claim",
        command(command="release", claims=[{"region": "eu-west-1", "claim": CLAIM}]),
        claimed,
        already="there is no claim",
    ),
    Flow("an operator checks a region", command(command="check", regions=["us-east-1"])),
    Flow(
        "a template declares a pipeline",
        macro,
        lambda: converged(HOME, "us-east-1"),
        function="pipeline_macro",
    ),
    Flow("a job asks for packages", packaged(job), built, job_answers=1, function="package"),
    Flow(
        "a job asks for a release",
        packaged(job_of_targets),
        with_targets,
        job_answers=1,
        function="package",
    ),
    Flow(
        "a job asks for a review",
        of_a_release("review", "review"),
        deploying,
        job_answers=1,
        function="review",
    ),
    Flow(
        "a job guards what was reviewed",
        of_a_release("guard", "review"),
        approved,
        job_answers=1,
        function="review",
    ),
    Flow("a job watches a wave", look, watched_wave, job_answers=1, function="rollout"),
    Flow("a job takes a wave back", look, alarmed, job_answers=1, function="rollout"),
    Flow(
        "somebody asks for packages",
        packaged(lambda: saved("package_direct")),
        built,
        function="package",
    ),
    Flow(
        "somebody asks for signed packages",
        packaged(order_signed_application),
        built,
        function="package",
    ),
    *(
        Flow(f"the schedule finds {what}", event("schedule"), begin, turns=ROUND)
        for what, begin in (
            ("nothing to do", converged),
            ("everything drifted", changed(_everything_drifted)),
            ("the key pending deletion", changed(_key_pending)),
            ("the key disabled", changed(_key_disabled)),
            ("no alias", changed(_alias_lost)),
            ("no bucket", changed(_bucket_lost)),
        )
    ),
    *(
        Flow(name, ask, begin, answers=1, function="artifact_store")
        for name, ask, begin in (
            ("a stack asks for a store", stack("cfn_create"), Cloud),
            ("a stack asks for two stores", stack("cfn_create_stores"), Cloud),
            ("a stack asks for another region", stack("cfn_update", **new_update()), claimed),
            ("a stack gives its claim back", stack("cfn_delete"), claimed),
        )
    ),
)


def look_at_everything() -> None:
    """One look at every setting of every desired region, as the schedule takes in turns."""
    app = load("reconcile").app
    app.events()
    app.reconciler.keep()
