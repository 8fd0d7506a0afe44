"""A pipeline as it is declared, and as the known artifact stores complete it.

A declaration says what is deployed where; it names no bucket and no key. `resolve` joins it
with the stores that are ready: `Regions: follow` becomes a list, every region gets its store,
and everything that CodePipeline would refuse later is refused now, by the field's name.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from foothold.errors import PermanentError
from foothold.partitions import everywhere, meant_region, partition_of
from foothold.pipelines.build_environment import BuildEnvironment
from foothold.pipelines.sources import Source
from foothold.pipelines.waves import Wave, Waves, beside
from foothold.releases.model import (
    PIPELINE_VARIABLE,
    Bake,
    OnFailure,
    Trial,
    When,
)
from foothold.stores.register import ArtifactStore

# CodePipeline's EncryptionKey takes a key id or ARN of at most 100 characters in a pipeline's
# ArtifactStore (aws-cdk, aws-codepipeline/lib/private/cross-region-support-stack.ts).
KEY_ID_LENGTH = 100
# ActionNamespace in botocore's codepipeline model.
NAMESPACE = 100

# AWS CloudFormation User Guide, "Understand CloudFormation quotas": a parameter's value; and
# CreateStack's StackPolicyBody in its API Reference.
PARAMETER_BYTES = 4096
STACK_POLICY_BYTES = 16_384

# How a template declares a pipeline, and has it expanded.
RESOURCE_TYPE = "Foothold::Pipeline"
MACRO = "FootholdPipeline"
# The output in which a stack keeps the digest of the stores that it was expanded with.
DIGEST_OUTPUT = "FootholdStores"
# The output that names the regions which would be followed if CodePipeline were there.
LEFT_OUT_OUTPUT = "FootholdLeftOut"


class DeclarationError(PermanentError):
    """A declaration that cannot become a pipeline: one line for each field to mend."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable of the build. `kind` is CodeBuild's own word: PLAINTEXT,
    PARAMETER_STORE or SECRETS_MANAGER; for the latter two `value` is a name (a secret's may be its
    ARN, and go on with `:key:stage:id`), never a secret. `kms_key_arn` is the key that it is
    encrypted with, where that is not the account's own."""

    name: str
    value: str
    kind: str = "PLAINTEXT"
    kms_key_arn: str | None = None

    @property
    def secret_id(self) -> str:
        """A secret's name or ARN, without key, stage and id."""
        return ":".join(self.value.split(":")[: 7 if self.value.startswith("arn:") else 1])

    @property
    def of_the_execution(self) -> bool:
        """Whether the value is known only when the pipeline runs."""
        return self.kind == "PLAINTEXT" and bool(PIPELINE_VARIABLE.search(self.value))


@dataclass(frozen=True, slots=True)
class Build:
    """How the project is built. `buildspec` is a path in the source, or the text itself."""

    environment: BuildEnvironment
    buildspec: str
    timeout_minutes: int | None = None
    variables: tuple[Variable, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """A person approves the change sets before they are executed. `topic` is the ARN of the SNS
    topic that CodePipeline asks through."""

    topic: str
    note: str = ""
    timeout_minutes: int | None = None
    when: When = When.ALWAYS

    @property
    def is_certain(self) -> bool:
        """Whether a person is asked whatever the review says."""
        return self.when is When.ALWAYS


@dataclass(frozen=True, slots=True)
class Target:
    """One stack in one account and any number of regions.

    `regions` is None for `follow`: the regions that have an artifact store, but for those in
    `without`. `wave` is how many regions are deployed at a time, in one stage; None means all of
    them. With `waves` each wave is a stage, watched as `bake` and `trials` say before the next
    one; `on_failure` says what becomes of one that fails. A target that is `parallel` shares the
    stages of the one before it, whose waves, approval and watch are its own, too.
    """

    name: str
    account: str
    stack: str
    regions: tuple[str, ...] | None
    parameters: Mapping[str, str] = field(default_factory=dict)
    region_parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    approval: Approval | None = None
    wave: int | None = None
    without: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    stack_policy: Mapping[str, Any] | None = None
    waves: Waves | None = None
    bake: Bake | None = None
    on_failure: OnFailure = OnFailure.STOP
    trials: tuple[Trial, ...] = ()
    parallel: bool = False

    @property
    def is_watched(self) -> bool:
        """Whether anything is looked at after a wave."""
        return bool(self.bake or self.trials)

    def parameters_in(self, region: str) -> dict[str, str]:
        return {**self.parameters, **self.region_parameters.get(region, {})}


@dataclass(frozen=True, slots=True)
class Notifications:
    """What is sent to the SNS topic with the ARN `topic`: where `approvals` is true, each approval
    that the pipeline waits for; and each execution that reaches one of `states`, which are those of
    CodePipeline's events."""

    topic: str
    approvals: bool
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a pipeline's owner writes.

    `packages_itself` is true where the buildspec writes `template-export-<region>.yml`;
    otherwise the package function does. `region_names` are the project's own words for
    regions, as its buildspec may use them. `permissions_boundary` is the ARN of a managed policy
    that bounds the pipeline's roles, empty for the control plane's own.
    """

    name: str
    source: Source
    build: Build
    targets: tuple[Target, ...]
    notifications: Notifications | None = None
    packages_itself: bool = False
    region_names: Mapping[str, str] = field(default_factory=dict)
    permissions_boundary: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A declaration whose every region is known: no target follows any more.

    `stores` holds the store of each region in use, the pipeline's own included, by name;
    `left_out` names the regions that a target would follow if CodePipeline were there.
    """

    declaration: Declaration
    home_region: str
    stores: Mapping[str, ArtifactStore]
    targets: tuple["ResolvedTarget", ...]
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.declaration.name

    @property
    def home_store(self) -> ArtifactStore:
        return self.stores[self.home_region]

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target.account for target in self.targets))

    @property
    def groups(self) -> tuple[tuple["ResolvedTarget", ...], ...]:
        """The targets in their order, those together that share stages."""
        groups: list[list[ResolvedTarget]] = []
        for target in self.targets:
            if target.is_lead:
                groups.append([])
            groups[-1].append(target)
        return tuple(map(tuple, groups))


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """A target with its regions, and the waves in which they are deployed.

    `lead` is the target whose stages it shares, and whose approval and watch hold for it: itself
    for most.
    """

    declared: Target
    lead: Target
    regions: tuple[str, ...]
    waves: tuple[Wave, ...]

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def account(self) -> str:
        return self.declared.account

    @property
    def is_lead(self) -> bool:
        return self.declared is self.lead

    @property
    def review_namespace(self) -> str:
        """In which its review gives variables."""
        return f"Review{re.sub('[^A-Za-z0-9]', '', self.lead.name)}"

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of its stages, in order."""
        asked = self.lead.approval
        certain = asked is None or asked.is_certain
        name = self.lead.name
        names = [name] if certain else [name, f"{name}-Approve"]
        if self.lead.waves:
            names += [f"{name}-{number}" for number in range(1, len(self.waves) + 1)]
        elif not certain:
            names.append(f"{name}-Deploy")
        return tuple(names)


def stores_digest(stores: Mapping[str, ArtifactStore]) -> str:
    """A short name for a set of stores: equal when, and only when, the sets are equal."""
    lines = (f"{region} {stores[region].bucket} {stores[region].key_arn}" for region in stores)
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:32]


def within_reach(
    stores: Mapping[str, ArtifactStore], has_codepipeline: Callable[[str], bool]
) -> dict[str, ArtifactStore]:
    """The stores of regions that a pipeline can act in."""
    return {region: store for region, store in stores.items() if has_codepipeline(region)}


def resolve(
    declaration: Declaration,
    ready: Mapping[str, ArtifactStore],
    home_region: str,
    *,
    refused: Mapping[str, str] = MappingProxyType({}),
    has_codepipeline: Callable[[str], bool] = everywhere,
) -> Pipeline:
    """Join a declaration with the stores that are ready.

    `ready` maps region names to stores, `home_region` is where the pipeline runs, `refused` says
    by region why a published store may not be used: a target that follows the stores asks for
    that one, too, and a pipeline never loses a region in silence. A pipeline can act only where
    CodePipeline is (AWS CodePipeline User Guide, "Add a cross-Region action"), and a definition
    that names any other region is refused as a whole: `follow` leaves such regions out.
    Raises DeclarationError with a line for every field that stands in the way.
    """
    # What is refused has its own line, and none that says that it is missing.
    there = {**{region: ArtifactStore(region, "", "") for region in refused}, **ready}
    places = _Places(there, home_region, has_codepipeline)
    problems = [
        *_refusals(declaration, refused, places),
        *places.problems("pipeline's own region", home_region),
        *_source_problems(declaration.source, home_region),
        *_build_problems(declaration.build, declaration.source, _account(ready, home_region)),
        *_target_problems(declaration, places),
        *_duplicates("Targets", (target.name for target in declaration.targets)),
        *_topic_problems(declaration, home_region, _account(ready, home_region)),
        *_region_name_problems(declaration, ready),
    ]
    targets = tuple(_resolved(declaration, places))
    problems += _nothing_left(targets, places)
    problems += _rollout_problems(targets)
    problems += _stage_problems(targets)
    problems += _overlaps(targets)
    if problems:
        raise DeclarationError(dict.fromkeys(problems))
    in_use = sorted({home_region, *(region for target in targets for region in target.regions)})
    left_out = {
        region
        for target in declaration.targets
        if target.regions is None
        for region in ready
        if not has_codepipeline(region) and region not in target.without
    }
    return Pipeline(
        declaration,
        home_region,
        {region: ready[region] for region in in_use},
        targets,
        tuple(sorted(left_out)),
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a pipeline could act: stores that are ready, and regions where CodePipeline is."""

    ready: Mapping[str, ArtifactStore]
    home_region: str
    has_codepipeline: Callable[[str], bool]

    def followed(self, target: Target) -> set[str]:
        """The regions that a target may follow, whatever other targets list."""
        return set(within_reach(self.ready, self.has_codepipeline)).difference(target.without)

    def problems(self, where: str, region: str) -> Iterator[str]:
        """What stands in the way of acting in a region that is named."""
        try:
            partition = partition_of(region)
        except PermanentError as error:
            yield f"{where}: {error}"
            return
        home, store = self.home_region, self.ready.get(region)
        if partition.name == "aws-cn":
            # AWS CodePipeline User Guide, "AWS CloudFormation deploy action reference".
            yield f"{where}: {region}: CodePipeline has no CloudFormation action in China's regions"
        elif partition != partition_of(home):
            yield f"{where}: {region} is in another AWS partition than the pipeline in {home}"
        elif store is None and meant_region(region, self.ready):
            yield from _misspelt(where, region, self.ready)
        elif not self.has_codepipeline(region):
            yield (
                f"{where}: CodePipeline is not in {region}, as far as the AWS SDK knows; leave it "
                "out, or name it in Foothold's stack parameter PipelineRegions"
            )
        elif store is None:
            yield f"{where}: {region} has no artifact store yet; run: foothold regions add {region}"
        elif len(store.key_arn) > KEY_ID_LENGTH:
            yield (
                f"{where}: the key ARN of {region} has {len(store.key_arn)} characters and "
                f"CodePipeline takes {KEY_ID_LENGTH}; give the region a store whose key ARN is "
                "shorter"
            )


def _account(ready: Mapping[str, ArtifactStore], home_region: str) -> str | None:
    """The pipeline's account: its own region's store is there. None where there is no store."""
    parts = ready[home_region].key_arn.split(":") if home_region in ready else []
    return parts[4] if len(parts) > 4 else None  # noqa: PLR2004  an ARN's fifth part


def _source_problems(source: Source, home_region: str) -> Iterator[str]:
    for field_of_source in fields(source):
        text = getattr(source, field_of_source.name)
        if text:
            yield from _variable_problems(f"Source.{source.name}", text, {})
    yield from source.problems(home_region)


def _build_problems(build: Build, source: Source, account: str | None) -> Iterator[str]:
    yield from build.environment.problems()
    if build.environment.on_lambda and build.timeout_minutes is not None:
        yield (
            "Build.TimeoutMinutes: a build on Lambda ends after 15 minutes and takes no other "
            "time; remove it"
        )
    for variable in build.variables:
        where = f"Build.Environment.{variable.name}"
        if variable.kind == "PLAINTEXT":
            yield from _variable_problems(where, variable.value, _given_by(source))
        arn = variable.secret_id.split(":") if variable.kind == "SECRETS_MANAGER" else []
        if len(arn) > 1 and account and arn[4] != account and not variable.kms_key_arn:
            # AWS Secrets Manager User Guide, "Access AWS Secrets Manager secrets from a different
            # account": not with the account's own key.
            yield (
                f"{where}.Secret: it is in account {arn[4]}, which encrypts it with a key of its "
                "own; give the key's ARN as Key"
            )


def _resolved(declaration: Declaration, places: _Places) -> Iterator[ResolvedTarget]:
    lead: ResolvedTarget | None = None
    for target in declaration.targets:
        regions = target.regions
        if regions is None:
            regions = tuple(sorted(places.followed(target) - _listed(declaration, target)))
        if lead and target.parallel:
            yield ResolvedTarget(target, lead.declared, regions, beside(lead.waves, regions))
            continue
        waves = target.waves or Waves(sizes=(target.wave or max(1, len(regions)),))
        lead = ResolvedTarget(target, target, regions, waves.over(regions))
        yield lead


def _listed(declaration: Declaration, target: Target) -> set[str]:
    """The regions in which another target of the list deploys this target's stack."""
    return {
        region
        for other in declaration.targets
        if (other.account, other.stack) == (target.account, target.stack) and other is not target
        for region in other.regions or ()
    }


def _nothing_left(targets: tuple["ResolvedTarget", ...], places: _Places) -> Iterator[str]:
    for target in targets:
        following = target.declared.regions is None
        if following and not target.regions and places.followed(target.declared):
            yield (
                f"Targets[{target.name}].Regions: nothing is left to follow, other targets list "
                f"every region with a store for {target.declared.stack}; add a region, or remove "
                "the target"
            )


def _topic_problems(
    declaration: Declaration, home_region: str, account: str | None
) -> Iterator[str]:
    """A topic is in the pipeline's region (AWS CodePipeline User Guide, "Add a manual approval
    action to a stage"; Amazon EventBridge User Guide, "Event bus targets"). Another
    account's may be asked for an approval, which the pipeline's role publishes; a rule reaches none
    without a role of its own."""
    notifications = declaration.notifications
    told = notifications.topic if notifications else None
    topics = [("Notifications.Topic", told)] if told else []
    topics += [
        (f"Targets[{target.name}].Approval.Topic", target.approval.topic)
        for target in declaration.targets
        if target.approval and target.approval.topic != told
    ]
    for where, topic in topics:
        region, owner, name = topic.split(":")[3:6]
        if region != home_region:
            yield (
                f"{where}: topic {name} is in {region} and the pipeline in {home_region}; "
                f"write the ARN of a topic in {home_region}"
            )
        elif topic == told and account and owner != account:
            yield (
                f"{where}: topic {name} is in account {owner} and the pipeline in {account}; "
                f"write the ARN of a topic of {account}"
            )


def _refusals(
    declaration: Declaration, refused: Mapping[str, str], places: _Places
) -> Iterator[str]:
    if places.home_region in refused:
        yield f"pipeline's own region: {refused[places.home_region]}"
    for target in declaration.targets:
        wanted = sorted(places.followed(target)) if target.regions is None else target.regions
        for region in wanted:
            if region in refused:
                yield f"Targets[{target.name}].Regions: {refused[region]}"


def _target_problems(declaration: Declaration, places: _Places) -> Iterator[str]:
    if not declaration.targets:
        yield "Targets: empty; name at least one account to deploy to"
    for target in declaration.targets:
        where = f"Targets[{target.name}]"
        if target.name.lower() in {"source", "build", "package"}:
            stage = target.name.capitalize()
            yield f"{where}.Name: the pipeline has a stage {stage} already; choose another"
        yield from _target_variable_problems(where, target, declaration.source)
        yield from _configuration_problems(where, target, declaration)
        yield from _region_parameter_problems(where, target, places.ready)
        if target.regions is None:
            yield from _following_problems(f"{where}.Regions", target, places)
            continue
        if not target.regions:
            yield f"{where}.Regions: empty; list regions, or write follow"
        yield from _duplicates(f"{where}.Regions", target.regions)
        for region in target.regions:
            yield from places.problems(f"{where}.Regions", region)


def _region_parameter_problems(
    where: str, target: Target, ready: Mapping[str, ArtifactStore]
) -> Iterator[str]:
    """A target that follows may have parameters for a region that is still to come."""
    for region in target.region_parameters:
        misspelt = list(_misspelt(f"{where}.RegionParameters", region, ready))
        yield from misspelt
        if target.regions is not None and region not in target.regions and not misspelt:
            yield (
                f"{where}.RegionParameters: {region} is not among the target's regions; "
                "add it to Regions, or remove it here"
            )


def _target_variable_problems(where: str, target: Target, source: Source) -> Iterator[str]:
    given = {**_given_by(source), BUILD_VARIABLES: None}
    for name, value in target.parameters.items():
        yield from _variable_problems(f"{where}.Parameters.{name}", value, given)
    for region, parameters in target.region_parameters.items():
        for name, value in parameters.items():
            place = f"{where}.RegionParameters.{region}.{name}"
            yield from _variable_problems(place, value, given)
    for name, value in target.tags.items():
        yield from _variable_problems(f"{where}.Tags.{name}", value, given)
    for text in _texts(target.stack_policy):
        yield from _variable_problems(f"{where}.StackPolicy", text, given)
    if target.approval:
        yield from _variable_problems(f"{where}.Approval.Note", target.approval.note, given)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _configuration_problems(where: str, target: Target, declaration: Declaration) -> Iterator[str]:
    """What no template configuration can hold, or nobody would write one for."""
    parameters = [("Parameters", target.parameters)]
    parameters += [
        (f"RegionParameters.{region}", texts) for region, texts in target.region_parameters.items()
    ]
    for field_name, texts in parameters:
        for name, text in texts.items():
            if len(text.encode()) > PARAMETER_BYTES:
                yield (
                    f"{where}.{field_name}.{name}: it has {len(text.encode()):,} bytes and "
                    f"CloudFormation takes {PARAMETER_BYTES:,}; read it from Parameter Store"
                )
    # A role's tags do not differ in capitals alone (IAM User Guide, "Rules for tagging").
    yield from _duplicates(f"{where}.Tags", target.tags)
    size = len(json.dumps(target.stack_policy, ensure_ascii=False).encode())
    if size > STACK_POLICY_BYTES:
        yield (
            f"{where}.StackPolicy: it has {size:,} bytes and CloudFormation takes "
            f"{STACK_POLICY_BYTES:,}; name several resources with *"
        )
    if declaration.packages_itself:
        for field_name, given in (("Tags", target.tags), ("StackPolicy", target.stack_policy)):
            if given:
                yield (
                    f"{where}.{field_name}: with Package: buildspec nobody writes the file that "
                    "holds it; drop Package, or remove it"
                )


def _rollout_problems(targets: tuple[ResolvedTarget, ...]) -> Iterator[str]:
    for target in targets:
        declared, where = target.declared, f"Targets[{target.name}]"
        if target.is_lead:
            if declared.parallel:
                yield (
                    f"{where}.Parallel: there is no target before it; remove it, or let it follow "
                    "another"
                )
            yield from _wave_problems(where, target)
            continue
        own = {
            "Approval": declared.approval,
            "WaveSize": declared.wave,
            "Waves": declared.waves,
            "Bake": declared.bake,
            "OnFailure": declared.on_failure is not OnFailure.STOP,
            "Tests": declared.trials,
        }
        for name in (name for name, given in own.items() if given):
            yield (
                f"{where}.{name}: it runs in the stages of {target.lead.name}, whose {name} holds "
                "for both; remove it here, or remove Parallel"
            )


def _wave_problems(where: str, target: ResolvedTarget) -> Iterator[str]:
    declared = target.declared
    if declared.waves and declared.wave:
        yield f"{where}.WaveSize: Waves says it already; remove one of them"
    elif declared.wave and declared.is_watched:
        yield (
            f"{where}.{'Bake' if declared.bake else 'Tests'}: WaveSize deploys in one stage, in "
            f"which nothing is watched; write Waves: [{declared.wave}] for it"
        )
    if declared.waves and target.regions:
        yield from declared.waves.problems(f"{where}.Waves", target.regions)
    if declared.bake:
        yield from _duplicates(f"{where}.Bake.Alarms", declared.bake.alarms, capitals=True)
    yield from _duplicates(f"{where}.Tests", (trial.name for trial in declared.trials))


def _stage_problems(targets: tuple[ResolvedTarget, ...]) -> Iterator[str]:
    """Stages are named after targets, and what a review gives after the letters of a target's name:
    no two may be called the same."""
    stages: dict[str, str] = {}
    namespaces: dict[str, str] = {}
    for target in (target for target in targets if target.is_lead):
        for stage in target.stages:
            first = stages.setdefault(stage.lower(), target.name)
            if first.lower() != target.name.lower():
                yield (
                    f"Targets[{target.name}].Name: {first} has a stage {stage} already; choose "
                    "another"
                )
        if len(target.review_namespace) > NAMESPACE:
            yield (
                f"Targets[{target.name}].Name: the variables of its review are named "
                f"{target.review_namespace}, and CodePipeline takes {NAMESPACE} characters; choose "
                "a shorter one"
            )
        first = namespaces.setdefault(target.review_namespace.lower(), target.name)
        if first.lower() != target.name.lower():
            yield (
                f"Targets[{target.name}].Name: only marks tell it from {first}, and the variables "
                "of a review are named without marks; choose another"
            )


def _misspelt(where: str, region: str, ready: Mapping[str, ArtifactStore]) -> Iterator[str]:
    meant = meant_region(region, ready)
    if meant:
        yield f"{where}: no region that is known is called {region}; did you mean {meant}?"


def _following_problems(where: str, target: Target, places: _Places) -> Iterator[str]:
    yield from _duplicates(f"{where}.Except", target.without)
    for region in target.without:
        try:
            partition_of(region)
            yield from _misspelt(f"{where}.Except", region, places.ready)
        except PermanentError as error:
            yield f"{where}.Except: {error}"
    if not places.ready:
        yield (
            f"{where}: there is nothing to follow, no region has an artifact store; run: foothold "
            "regions add REGION"
        )
    elif not places.followed(target):
        yield (
            f"{where}: there is nothing to follow, every region that has an artifact store is "
            "excepted, or has no CodePipeline; run: foothold regions add REGION"
        )


def _region_name_problems(
    declaration: Declaration, ready: Mapping[str, ArtifactStore]
) -> Iterator[str]:
    for region in declaration.region_names:
        yield from _misspelt("RegionNames", region, ready)
    yield from _duplicates("RegionNames", declaration.region_names.values())
    known = {
        *(region for target in declaration.targets for region in target.regions or ()),
        *declaration.region_names,
    }
    for name in declaration.region_names.values():
        if any(name in {region, shell_name(region)} for region in known):
            yield f"RegionNames: {name} is a region's own name already; choose another"


def _overlaps(targets: tuple[ResolvedTarget, ...]) -> Iterator[str]:
    owner: dict[tuple[str, str, str], str] = {}
    for target in targets:
        for region in dict.fromkeys(target.regions):
            place = (target.account, region, target.declared.stack)
            first = owner.setdefault(place, target.name)
            if first != target.name:
                yield (
                    f"Targets[{target.name}].Stack: {target.declared.stack} in {region} of account "
                    f"{target.account} is deployed by {first} already; give one another Stack"
                )


def _duplicates(where: str, names: Iterable[str], *, capitals: bool = False) -> Iterator[str]:
    """Names that stand twice, or differ in nothing but capitals: a role's name does not know them
    (IAM User Guide, "IAM identifiers"), nor does a person see them in a picture or a console.
    Where `capitals` tell names apart, only those that stand twice."""
    found = Counter(iter(names))
    for name, count in found.items():
        if count > 1:
            yield f"{where}: {name} stands there {count} times; once is enough"
    if capitals:
        return
    first: dict[str, str] = {}
    for name in found:
        other = first.setdefault(name.lower(), name)
        if other != name:
            yield f"{where}: {other} and {name} differ in capitals only; rename one"


def shell_name(region: str) -> str:
    """A region's name as it can stand in a shell variable: `-` is no letter of one (POSIX.1,
    "Names")."""
    return region.replace("-", "_")


# Pipeline variables

# AWS CodePipeline User Guide, "Variables reference": the namespaces that the expansion gives, and
# the one that CodePipeline keeps for itself.
SOURCE_VARIABLES = "SourceVariables"
BUILD_VARIABLES = "BuildVariables"
OF_CODEPIPELINE = {"codepipeline": ("PipelineExecutionId",)}


def _given_by(source: Source) -> dict[str, tuple[str, ...] | None]:
    return {SOURCE_VARIABLES: source.variables}


def _variable_problems(
    where: str, text: str, given: Mapping[str, tuple[str, ...] | None]
) -> Iterator[str]:
    """What CodePipeline would refuse, or pass on as it stands, of the variables in a text.

    `given` are the variables that earlier actions give, by namespace; None for names that only the
    build knows.
    """
    known: dict[str, tuple[str, ...] | None] = {**OF_CODEPIPELINE, **given}
    for written in PIPELINE_VARIABLE.findall(text):
        namespace, dot, name = written.partition(".")
        if not dot or not name or namespace not in known:
            yield (
                f"{where}: #{{{written}}} has no namespace that is known here; write "
                f"#{{Namespace.Variable}} with {_either(known)}"
            )
            continue
        names = known[namespace]
        if names is None:
            if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
                yield f"{where}: #{{{written}}}: {name} is no name of a build's variable"
        elif name not in names:
            yield f"{where}: #{{{written}}}: {namespace} has no {name}; it has {_either(names)}"


def _either(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
