"""Mutated and made-up events for every handler, and files that somebody else made.

A custom resource request with a usable ResponseURL gets exactly one well-formed answer of at most
4096 bytes; every event that asks for nothing is logged with its reason; nothing else than the two
kinds of error ever leaves the house.
"""

import copy
import io
import json
import random
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from foothold.errors import FootholdError, PermanentError
from foothold.stores.register import ArtifactStore
from proof.cloud import ACCOUNT, HOME, STATUSES, Cloud
from proof.flows import built, converged
from proof.house import ROOT, Context, Log, handler, house, saved
from proof.result import Result, Scale, side_by_side, total

REPLY_LIMIT, ID_LIMIT = 4096, 1024  # AWS CloudFormation User Guide, "Custom resource reference"
SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu")
CLOUD_LASTS = 250  # events until the world is begun anew
WORLDS = 5  # of so many, all but one are nowhere()


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for level in range(depth):
        value = {"x": value} if level % 2 else [value]
    return value


JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), 2**70, "", " ", "\x00", "a" * 70_000,
    "\N{BOMB}" * 5000, "\ud800", "\u202e", "TRUE", "007", "eu-west-1", "us-east-1", "eu-west-99",
    "EU-WEST-1", "eu-west-1,us-east-1", "${AWS::Region}", "{{resolve:ssm:x}}", "../../etc/passwd",
    "'; drop table regions; --", [], {}, [[]], [None], ["eu-west-1"] * 200, ["eu-west-1", 7],
    {"Region": "eu-west-1"}, _nested(60), "Create", "Update", "Delete", "Custom::ArtifactStore",
    "Custom::ArtifactStores", "foothold/never-made", "https://example.org/",
    "http://169.254.169.254/latest/meta-data/", "https://x.s3.amazonaws.com@example.org/",
    "https://s3.amazonaws.com.example.org/", "https://x.s3.eu-west-1.amazonaws.com:8443/a",
    "https://x.s3.eu-west-1.amazonaws.com/a b\r\nX: y", "https://[::1]/", "file:///etc/passwd",
    "https://bucket.s3.eu-west-1.amazonaws.com/answer?X-Amz-Signature=canary-signature",
    "/foothold/regions", "/foothold/artifact-stores//", "/foothold/artifact-store/bucket",
    "all-enabled", "ENABLED", "ENABLING", "LabelParameterVersion", "111111111111",
    "arn:aws:cloudformation:eu-central-1:111111111111:stack/a/b", "-" * 300,
)  # fmt: skip


def mutated(event: Any, dice: random.Random) -> Any:
    """The event after one to four changes anywhere in it; now and then nothing of it is left."""
    if dice.random() < 0.01:  # noqa: PLR2004  rarely
        return copy.deepcopy(dice.choice(JUNK))
    changed = copy.deepcopy(event)
    for _ in range(dice.randint(1, 4)):
        _change_somewhere(changed, dice)
    return changed


def _change_somewhere(value: Any, dice: random.Random) -> None:
    while isinstance(value, dict | list) and value:
        at: Any = (
            dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
        )
        if isinstance(value[at], dict | list) and value[at] and dice.random() < 0.7:  # noqa: PLR2004
            value = value[at]
            continue
        match dice.randrange(5):
            case 0:
                del value[at]
            case 1 if isinstance(value, dict):
                value[str(dice.choice(JUNK))[:40]] = copy.deepcopy(dice.choice(JUNK))
            case 2 if isinstance(value[at], str) and value[at]:
                text = list(value[at])
                text[dice.randrange(len(text))] = chr(
                    dice.choice((0, 9, 45, 47, 58, 65, 246, 8238))
                )
                value[at] = "".join(text)
            case 3:
                value[at] = [value[at]]
            case _:
                value[at] = copy.deepcopy(dice.choice(JUNK))
        return


# --- What has to come of an event -----------------------------------------------------------------


def custom_resource(original: Any, event: Any, cloud: Cloud, _log: Log) -> Iterator[str]:
    try:
        handler("artifact_store")(event, Context())
    except FootholdError as error:
        yield f"raised {error}"
    except Exception as error:  # noqa: BLE001  whatever gets out
        yield f"unhandled {type(error).__name__}: {error}"
    url = event.get("ResponseURL") if isinstance(event, dict) else None
    due = url == original["ResponseURL"]
    if len(cloud.answer_bodies) > 1 or (due and not cloud.answer_bodies):
        yield f"{len(cloud.answer_bodies)} answers"
    for call in cloud.calls:
        if call.operation == "Answer" and not call.params["Host"].endswith(SUFFIXES):
            yield f"answered to {call.params['Host']}"
    for body in cloud.answer_bodies:
        yield from malformed(body)


def malformed(body: bytes) -> Iterator[str]:
    """What CloudFormation would not take of this reply."""
    if len(body) > REPLY_LIMIT:
        yield f"{len(body)} bytes"
    answer = json.loads(body)
    if answer["Status"] not in ("SUCCESS", "FAILED"):
        yield f"status {answer['Status']!r}"
    texts = ["PhysicalResourceId", "StackId", "RequestId", "LogicalResourceId"]
    texts += ["Reason"] if answer["Status"] == "FAILED" else []
    for name in texts:
        if not isinstance(answer.get(name), str):
            yield f"{name} is {answer.get(name)!r}"
    if not 0 < len(answer["PhysicalResourceId"].encode("utf-8", "replace")) <= ID_LIMIT:
        yield "physical id too short or too long"
    if answer["Status"] == "FAILED" and not answer["Reason"]:
        yield "no reason"


def reconcile(_original: Any, event: Any, cloud: Cloud, log: Log) -> Iterator[str]:
    if not isinstance(event, dict):
        return  # EventBridge delivers objects
    before = log.text.tell()
    try:
        answer = handler("reconcile")(event, Context())
    except FootholdError:
        return
    except Exception as error:  # noqa: BLE001  whatever gets out
        yield f"unhandled {type(error).__name__}: {error}"
        return
    log.text.seek(before)
    written = log.text.read()
    if not answer and not cloud.calls and '"reason":' not in written:
        yield "ignored without a reason in the log"


def macro(_original: Any, event: Any, _cloud: Cloud, _log: Log) -> Iterator[str]:
    if not isinstance(event, dict):
        return  # CloudFormation sends objects
    try:
        answer = handler("pipeline_macro")(event, Context())
    except FootholdError:
        return
    except Exception as error:  # noqa: BLE001  whatever gets out
        yield f"unhandled {type(error).__name__}: {error}"
        return
    if answer.get("status") != "success" and not answer.get("errorMessage"):
        yield f"neither success nor a reason: {str(answer)[:200]}"


def package(_original: Any, event: Any, cloud: Cloud, _log: Log) -> Iterator[str]:
    if not isinstance(event, dict):
        return  # CodePipeline and EventBridge send objects
    try:
        handler("package")(event, Context())
    except FootholdError:
        pass
    except Exception as error:  # noqa: BLE001  whatever gets out
        yield f"unhandled {type(error).__name__}: {error}"
    job = event.get("CodePipeline.job")
    due = isinstance(job, dict) and isinstance(job.get("id"), str) and job["id"]
    if due and len(cloud.job_answers) != 1:
        yield f"{len(cloud.job_answers)} answers to the job"


Check = Callable[[Any, Any, Cloud, Log], Iterator[str]]


@dataclass(frozen=True)
class Target:
    """A handler, the saved events of one kind that it gets, what has to come of any event, and
    the world that they come into."""

    handler: str
    events: tuple[str, ...]
    check: Check
    sample: int = 1_000
    full: int = 100_000
    begin: Callable[[], Cloud] = converged


REQUESTS = Target(
    "artifact_store",
    ("cfn_create", "cfn_create_stores", "cfn_update", "cfn_delete"),
    custom_resource,
    sample=4_000,
)


def of_event_bridge() -> Iterator[Target]:
    """Each kind of event that the reconcile function is saved with."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(file.stem for file in (ROOT / "events").glob("*.json")):
        event = saved(name)
        if "detail-type" in event and event["source"] != "aws.codebuild":  # the packager's
            kinds.setdefault(event["detail-type"], []).append(name)
    for names in kinds.values():
        yield Target("reconcile", tuple(names), reconcile)


EVENTS = (
    *of_event_bridge(),
    Target("reconcile", ("command_plan", "command_retire"), reconcile),
    Target("pipeline_macro", ("macro_expand", "macro_without_properties"), macro),
    Target("package", ("codepipeline_job",), package),
    Target("package", ("codebuild_succeeded",), package),
    Target("package", ("package_direct",), package),
    # Where there is a build, an event that is still whole packages it: slower than all the rest.
    Target(
        "package",
        ("codepipeline_job", "codebuild_succeeded", "package_direct"),
        package,
        sample=100,
        full=2_000,
        begin=built,
    ),
)


def nowhere() -> Cloud:
    """A world in which no region but home is enabled: to refuse a region takes a tenth of the
    calls that a store takes, and an event is read in the same way."""
    return Cloud({**dict.fromkeys(STATUSES, "DISABLED"), HOME: "ENABLED_BY_DEFAULT"})


def fuzzed(target: Target, seeds: Sequence[int]) -> Result:
    """One event for each seed, for this handler."""
    failures: list[str] = []
    originals = [saved(name) for name in target.events]
    cloud = nowhere()
    with house() as log:
        for number, seed in enumerate(seeds):
            if number % CLOUD_LASTS == 0:
                cloud = nowhere() if number // CLOUD_LASTS % WORLDS else target.begin()
                log.text.seek(0)
                log.text.truncate()
            cloud.answer_bodies.clear()
            cloud.job_answers.clear()
            cloud.calls.clear()
            dice = random.Random(seed)
            original = dice.choice(originals)
            event = json.loads(json.dumps(mutated(original, dice)))
            with cloud.in_use():
                wrong = list(target.check(original, copy.deepcopy(event), cloud, log))
            shown = json.dumps(event)[:300]
            failures += [f"{target.handler} seed {seed}: {one}: {shown}" for one in wrong]
    return Result(len(seeds), tuple(failures))


def custom_resource_requests(scale: Scale) -> Result:
    """Custom resource requests, mutated and made up."""
    return _fuzz((REQUESTS,), scale)


def events(scale: Scale) -> Result:
    """Every other kind of event, mutated and made up."""
    result = _fuzz(EVENTS, scale)
    kinds = f"{len(EVENTS) - 1} kinds of event, {scale.of(EVENTS[0].sample, EVENTS[0].full):,} each"
    return result + Result(0, notes=(kinds,))


def _fuzz(targets: Sequence[Target], scale: Scale) -> Result:
    first = scale.seed * 10_000_000
    return total(
        side_by_side(
            partial(fuzzed, target), range(first, first + scale.of(target.sample, target.full))
        )
        for target in targets
    )


# --- Files that somebody else made ----------------------------------------------------------------

DECLARATION = ROOT / "pipelines" / "example.yaml"
STORES = tuple(
    ArtifactStore(
        region,
        f"foothold-{ACCOUNT}-{region}-an",
        f"arn:aws:kms:{region}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555",
    )
    for region in (HOME, "eu-west-1", "us-east-1")
)


def declarations(scale: Scale) -> Result:
    """Pipelines that are declared wrong, in YAML that is not quite YAML."""
    first = scale.seed * 1_000_000
    return side_by_side(declarations_of, range(first, first + scale.of(1_000, 10_000)))


def declarations_of(seeds: Sequence[int]) -> Result:
    from foothold.pipelines.file import parameter_values, read_template
    from foothold.pipelines.macro import expand_template

    failures: list[str] = []
    ready = {store.region: store for store in STORES}
    whole = read_template(DECLARATION)
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        path = Path(folder) / "declaration.yaml"
        for seed in seeds:
            dice = random.Random(seed)
            path.write_bytes(_written(whole, DECLARATION.read_bytes(), dice))
            try:
                fragment = read_template(path)
                values = parameter_values(fragment, [])
                json.dumps(expand_template(fragment, ready, HOME, values))
            except FootholdError as error:
                if not str(error):
                    failures.append(f"declaration seed {seed}: refused without a word")
            except Exception as error:  # noqa: BLE001  whatever gets out
                failures.append(f"declaration seed {seed}: unhandled {_first_line(error)}")
    return Result(len(seeds), tuple(failures))


def _written(whole: Any, text: bytes, dice: random.Random) -> bytes:
    """The document with something changed in its values, or in its letters."""
    if dice.random() < 0.7:  # noqa: PLR2004  more often what can still be read
        changed = json.loads(json.dumps(mutated(whole, dice)))
        return json.dumps(changed).encode("utf-8", "surrogatepass")
    letters = bytearray(text)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(letters))
        match dice.randrange(3):
            case 0:
                letters[at] = dice.choice(b"\x00\t\n :-[]{}!&*#'\"\xff0a")
            case 1:
                del letters[at : at + dice.randrange(40)]
            case _:
                letters[at:at] = letters[at : at + dice.randrange(40)]
    return bytes(letters)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[:1]}"


TEMPLATE: Any = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Globals": {"Function": {"Runtime": "python3.12", "CodeUri": "app"}},
    "Parameters": {"Stage": {"Type": "String", "Default": "test"}},
    "Resources": {
        "Hello": {
            "Type": "AWS::Serverless::Function",
            "Properties": {"CodeUri": "app", "Handler": "app.handler", "Layers": [{"Ref": "Libs"}]},
        },
        "Plain": {
            "Type": "AWS::Lambda::Function",
            "Properties": {"Code": "app", "Handler": "app.handler", "Role": {"Fn::Sub": "${X}"}},
        },
        "Libs": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "app"}},
        "Flow": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"DefinitionS3Location": "one.json"},
        },
        "Api": {"Type": "AWS::Serverless::Api", "Properties": {"DefinitionUri": "one.json"}},
        "Child": {
            "Type": "AWS::CloudFormation::Stack",
            "Properties": {"TemplateURL": "child.yaml"},
        },
    },
    "Outputs": {"Name": {"Value": {"Fn::GetAtt": ["Hello", "Arn"]}}},
}


def templates(scale: Scale) -> Result:
    """Builds whose template is not what sam build would write."""
    first = scale.seed * 1_000_000
    return side_by_side(templates_of, range(first, first + scale.of(300, 10_000)))


def templates_of(seeds: Sequence[int]) -> Result:
    from foothold.packaging.gateways.sam_cli import SamTemplates
    from foothold.packaging.options import Options

    failures: list[str] = []

    def no_applications(region: str) -> Any:
        raise PermanentError(f"there are no applications in {region}")

    exporter = SamTemplates(lambda region: f"https://s3.{region}.amazonaws.com", no_applications)
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        root = Path(folder) / "build"
        (root / "app").mkdir(parents=True)
        (root / "app" / "app.py").write_text("def handler(event, context): ...\n")
        (root / "one.json").write_text("{}")
        (root / "child.yaml").write_text("Resources: {T: {Type: 'AWS::SNS::Topic'}}\n")
        path = root / "template.yaml"
        for seed in seeds:
            dice = random.Random(seed)
            path.write_bytes(_written(TEMPLATE, json.dumps(TEMPLATE, indent=1).encode(), dice))
            try:
                exports = exporter.export(
                    path, "orders/builds", STORES, options=Options(), within=root
                )
                for export in exports.by_region.values():
                    export.template.render()
            except FootholdError as error:
                if not str(error):
                    failures.append(f"template seed {seed}: refused without a word")
            except Exception as error:  # noqa: BLE001  whatever gets out
                failures.append(f"template seed {seed}: unhandled {_first_line(error)}")
            outside = {one.name for one in Path(folder).iterdir()} - {root.name}
            if outside:
                failures.append(f"template seed {seed}: wrote {outside}")
    return Result(len(seeds), tuple(failures))


def zips(scale: Scale) -> Result:
    """Archives with bytes changed, links, absolute names, sizes that lie."""
    first = scale.seed * 1_000_000
    return side_by_side(zips_of, range(first, first + scale.of(600, 20_000)))


def zips_of(seeds: Sequence[int]) -> Result:
    from foothold.packaging.gateways.archive import unpack

    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="proof-") as scratch:
        root = Path(scratch)
        for seed in seeds:
            dice = random.Random(seed)
            archive = root / "artifact.zip"
            archive.write_bytes(_archive(dice))
            folder = root / f"{seed}"
            folder.mkdir()
            try:
                unpack(archive, folder)
            except PermanentError:
                pass
            except Exception as error:  # noqa: BLE001  whatever gets out
                failures.append(f"zip seed {seed}: unhandled {type(error).__name__}: {error}")
            outside = {path.name for path in root.iterdir()} - {archive.name, folder.name}
            links = [path for path in folder.rglob("*") if path.is_symlink()]
            if outside or links:
                failures.append(f"zip seed {seed}: wrote {outside or links}")
            _remove(folder)
    return Result(len(seeds), tuple(failures))


NAMES = (
    "template.yaml", "a/b.py", "../escape", "/absolute", "a/../../escape", "C:\\x", "a\\..\\..\\x",
    "x" * 300, "", ".", "..", "a/", "\N{BOMB}.py", "CON", "a//b", "./a", "a/./b", "template.yaml/x",
)  # fmt: skip


def _archive(dice: random.Random) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # the same name twice is one of the harms
        for _ in range(dice.randint(0, 5)):
            member = zipfile.ZipInfo(dice.choice(NAMES))
            member.create_system = dice.choice((0, 3))
            member.external_attr = (
                dice.choice((0o100644, 0o120777, 0o010644, 0o40755, 0, 0o104755)) << 16
            )
            archive.writestr(member, bytes(dice.randrange(256) for _ in range(dice.randint(0, 60))))
    content = bytearray(buffer.getvalue())
    for _ in range(dice.choice((0, 0, 1, 3, 20))):
        content[dice.randrange(len(content))] = dice.randrange(256)
    if dice.random() < 0.1:  # noqa: PLR2004  some are cut short
        del content[dice.randrange(len(content)) :]
    return bytes(content)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()
