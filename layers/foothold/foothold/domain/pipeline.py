"""A pipeline as it is declared, and as the known artifact stores complete it.

A declaration says what is deployed where; it names no bucket and no key. `resolve` joins it
with the stores that are ready: `Regions: follow` becomes a list, every region gets its store,
and everything that CodePipeline would refuse later is refused now, by the field's name.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from foothold.domain.errors import PermanentError, TemporaryError
from foothold.domain.models import ArtifactStore
from foothold.domain.partitions import partition_of

# CodePipeline's EncryptionKey takes a key id or ARN of at most 100 characters in a pipeline's
# ArtifactStore (aws-cdk, aws-codepipeline/lib/private/cross-region-support-stack.ts).
KEY_ID_LENGTH = 100

# The output in which a stack keeps the digest of the stores that it was expanded with.
DIGEST_OUTPUT = "FootholdStores"


class DeclarationError(PermanentError):
    """A declaration that cannot become a pipeline: one line for each field to mend."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class CodeConnections:
    """A repository reached through an AWS CodeConnections connection."""

    connection_arn: str
    repository: str
    branch: str


@dataclass(frozen=True, slots=True)
class GitHub:
    """A GitHub repository with an OAuth token, kept as one key of a Secrets Manager secret."""

    owner: str
    repository: str
    branch: str
    secret: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class S3Object:
    """A zip in a versioned bucket whose events go to EventBridge."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class CodeCommit:
    """A CodeCommit repository of the pipeline's account and region."""

    repository: str
    branch: str


Source = CodeConnections | GitHub | S3Object | CodeCommit


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable of the build. `kind` is CodeBuild's own word: PLAINTEXT,
    PARAMETER_STORE or SECRETS_MANAGER; for the latter two `value` is a name, never a secret."""

    name: str
    value: str
    kind: str = "PLAINTEXT"


@dataclass(frozen=True, slots=True)
class Build:
    """How the project is built. `buildspec` is a path in the source, or the text itself."""

    image: str
    compute: str
    timeout_minutes: int
    buildspec: str
    variables: tuple[Variable, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's yes between the change sets and their execution. `topic` (an SNS topic ARN)
    tells somebody that it is waited for."""

    topic: str
    note: str = ""
    timeout_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One stack in one account and any number of regions.

    `regions` is None for `follow`: the regions that have an artifact store. `wave` is how many
    regions are deployed at a time; None means all of them.
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

    def parameters_in(self, region: str) -> dict[str, str]:
        return {**self.parameters, **self.region_parameters.get(region, {})}


@dataclass(frozen=True, slots=True)
class Notifications:
    """Who hears of the pipeline. `events` are CodeStar Notifications event type ids."""

    topic: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a pipeline's owner writes.

    `packages_itself` is true where the buildspec writes `template-export-<region>.yml`;
    otherwise the package function does. `region_names` are the project's own words for
    regions, as its buildspec may use them.
    """

    name: str
    source: Source
    build: Build
    targets: tuple[Target, ...]
    notifications: Notifications | None = None
    packages_itself: bool = False
    region_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A declaration whose every region is known: no target follows any more.

    `stores` holds the store of each region in use, the pipeline's own included, by name.
    """

    declaration: Declaration
    home_region: str
    stores: Mapping[str, ArtifactStore]
    targets: tuple["ResolvedTarget", ...]

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
    def deploy_regions(self) -> tuple[str, ...]:
        """Every region that some target deploys to, by name: one template for each."""
        return tuple(sorted({region for target in self.targets for region in target.regions}))


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """A target with its regions in the order in which they are deployed."""

    declared: Target
    regions: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def account(self) -> str:
        return self.declared.account

    @property
    def waves(self) -> Iterator[tuple[str, ...]]:
        size = self.declared.wave or len(self.regions)
        for start in range(0, len(self.regions), size):
            yield self.regions[start : start + size]


def stores_digest(stores: Mapping[str, ArtifactStore]) -> str:
    """A short name for a set of stores: equal when, and only when, the sets are equal."""
    lines = (f"{region} {stores[region].bucket} {stores[region].key_arn}" for region in stores)
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:32]


def resolve(
    declaration: Declaration, ready: Mapping[str, ArtifactStore], home_region: str
) -> Pipeline:
    """Join a declaration with the stores that are ready.

    `ready` maps region names to stores, `home_region` is where the pipeline runs.
    Raises DeclarationError with a line for every field that stands in the way.
    """
    problems = [
        *_region_problems("pipeline's own region", home_region, ready, home_region),
        *_target_problems(declaration, ready, home_region),
        *_duplicates("Targets", (target.name for target in declaration.targets)),
        *_region_name_problems(declaration),
    ]
    targets = tuple(
        ResolvedTarget(target, tuple(sorted(ready)) if target.regions is None else target.regions)
        for target in declaration.targets
    )
    problems += _overlaps(targets)
    if problems:
        raise DeclarationError(dict.fromkeys(problems))
    in_use = sorted({home_region, *(region for target in targets for region in target.regions)})
    return Pipeline(declaration, home_region, {region: ready[region] for region in in_use}, targets)


def _target_problems(
    declaration: Declaration, ready: Mapping[str, ArtifactStore], home_region: str
) -> Iterator[str]:
    if not declaration.targets:
        yield "Targets: empty; name at least one account to deploy to"
    for target in declaration.targets:
        where = f"Targets[{target.name}]"
        if target.name in {"Source", "Build", "Package"}:
            yield f"{where}.Name: the pipeline has a stage {target.name} already; choose another"
        if target.regions is None:
            if not ready:
                yield (
                    f"{where}.Regions: there is nothing to follow, no region has an artifact "
                    "store; run: foothold regions add REGION"
                )
            continue
        if not target.regions:
            yield f"{where}.Regions: empty; list regions, or write follow"
        yield from _duplicates(f"{where}.Regions", target.regions)
        for region in target.regions:
            yield from _region_problems(f"{where}.Regions", region, ready, home_region)
        for region in target.region_parameters:
            if region not in target.regions:
                yield (
                    f"{where}.RegionParameters: {region} is not among the target's regions; "
                    "add it to Regions, or remove it here"
                )


def _region_problems(
    where: str, region: str, ready: Mapping[str, ArtifactStore], home_region: str
) -> Iterator[str]:
    try:
        partition = partition_of(region)
    except PermanentError as error:
        yield f"{where}: {error}"
        return
    if partition.name == "aws-cn":
        # AWS CodePipeline User Guide, "AWS CloudFormation deploy action reference".
        yield f"{where}: {region}: CodePipeline has no CloudFormation action in China's regions"
    elif partition != partition_of(home_region):
        yield f"{where}: {region} is in another AWS partition than the pipeline in {home_region}"
    elif region not in ready:
        yield f"{where}: {region} has no artifact store yet; run: foothold regions add {region}"
    elif len(ready[region].key_arn) > KEY_ID_LENGTH:
        yield (
            f"{where}: the key ARN of {region} has {len(ready[region].key_arn)} characters and "
            f"CodePipeline takes {KEY_ID_LENGTH}; give the region a store whose key ARN is shorter"
        )


def _region_name_problems(declaration: Declaration) -> Iterator[str]:
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


def _duplicates(where: str, names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{where}: {name} stands there {count} times; once is enough"


def shell_name(region: str) -> str:
    """A region's name as it can stand in a shell variable: `-` is no letter of one (POSIX.1,
    "Names")."""
    return region.replace("-", "_")


# The stacks that follow the stores

# AWS CloudFormation User Guide, "Stack status codes".
UPDATABLE = frozenset(
    {
        "CREATE_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
    }
)


class State(StrEnum):
    """What became of one following stack."""

    CURRENT = "current"
    UPDATING = "updating"
    BUSY = "busy"
    LEFT = "left"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class FollowingStack:
    """A stack with the tag `foothold:follow=true`.

    `digest` is that of the stores it was expanded with, None where it has no such output.
    `parameters` are the names of its parameters; `has_role` says whether CloudFormation works on
    it with a role of its own.
    """

    name: str
    status: str
    digest: str | None
    has_role: bool
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FollowOutcome:
    """What was done about one following stack, and why."""

    stack: str
    state: State
    reason: str = ""


class StackBusyError(TemporaryError):
    """Another operation on the stack is under way."""


def standing(stack: FollowingStack, digest: str) -> FollowOutcome | None:
    """What is known of a stack without touching it; None where it is to be updated."""
    if stack.digest == digest:
        return FollowOutcome(stack.name, State.CURRENT)
    if stack.status.endswith("_IN_PROGRESS"):
        return FollowOutcome(stack.name, State.BUSY, f"it is in {stack.status}")
    if stack.digest is None:
        reason = f"it has no output {DIGEST_OUTPUT}: it holds no declared pipeline"
        return FollowOutcome(stack.name, State.REFUSED, reason)
    if not stack.has_role:
        return FollowOutcome(
            stack.name, State.REFUSED, "it has no role of its own: deploy it with --role-arn"
        )
    if stack.status not in UPDATABLE:
        return FollowOutcome(stack.name, State.REFUSED, f"{stack.status} cannot be updated")
    return None
