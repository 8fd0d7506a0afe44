"""A release, and the targets that it is made for.

Identity is content: the same bytes for the same targets are the same release, whoever packages
them, and when. Pure: values in, values out.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from foothold.errors import PermanentError

RELEASE = "release.json"
MANIFEST = "manifest.json"
# What pipelines/target-account.yaml calls who deploys there, and what CloudFormation is there.
DEPLOY_ROLE = "foothold-deploy"
CLOUDFORMATION_ROLE = "foothold-cloudformation"
RELEASE_TAG = "foothold:release"
PROJECT_TAG = "foothold:project"
RELEASE_ID = re.compile("[0-9a-f]{16}")

Json = dict[str, Any]


class When(StrEnum):
    """When a person is asked."""

    ALWAYS = "always"
    CHANGES = "changes"  # where anything changes anywhere
    RISK = "risk"  # where something is replaced, removed or made more open


class OnFailure(StrEnum):
    """What becomes of a wave that fails, or that an alarm stops."""

    STOP = "stop"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Bake:
    """How long a wave is watched before the next one begins, in minutes, and the names of the
    alarms that are watched in each of its accounts and regions."""

    minutes: int
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """What is run after a wave: a CodeBuild project or a Lambda function of the pipeline's own
    account, once or for each region, with the stack's outputs in its environment."""

    name: str
    project: str = ""
    function: str = ""
    each_region: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One stack of a rollout."""

    account: str
    region: str
    stack: str

    def __str__(self) -> str:
        return f"{self.stack} in {self.region} of {self.account}"


@dataclass(frozen=True, slots=True)
class ReleaseTarget:
    """Where a release goes: one stack in one account and some regions, wave by wave.

    `parameters`, `region_parameters` (by region), `tags` and `stack_policy` may hold pipeline
    variables until they are `filled`. `approval` is None where nobody is asked; `joins` is the
    target whose waves this one shares, empty for none.
    """

    name: str
    account: str
    stack: str
    waves: tuple[tuple[str, ...], ...]
    capabilities: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    region_parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    stack_policy: Mapping[str, Any] | None = None
    approval: When | None = None
    bake: Bake | None = None
    on_failure: OnFailure = OnFailure.STOP
    trials: tuple[Trial, ...] = ()
    joins: str = ""

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(region for wave in self.waves for region in wave)

    def cell(self, region: str) -> Cell:
        return Cell(self.account, region, self.stack)

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(self.cell(region) for region in self.regions)

    def filled(self, values: Mapping[str, str]) -> "ReleaseTarget":
        """The target with the values of pipeline variables, by `Namespace.Name`, in the places of
        `#{Namespace.Name}`. Raises PermanentError for one that nobody gave."""
        found: Json = _filled(self.as_json(), values)
        return ReleaseTarget.from_json(found)

    def configuration(self, region: str, project: str, release: str) -> Json:
        """The template configuration of one region: parameters, tags and stack policy (AWS
        CloudFormation User Guide, "CloudFormation artifacts": Template configuration file)."""
        found: Json = {
            "Parameters": {**self.parameters, **self.region_parameters.get(region, {})},
            "Tags": {**self.tags, PROJECT_TAG: project, RELEASE_TAG: release},
        }
        if self.stack_policy is not None:
            found["StackPolicy"] = dict(self.stack_policy)
        return found

    def as_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "ReleaseTarget":
        """Raises KeyError, TypeError or ValueError for what `as_json` does not give."""
        bake = value["bake"]
        return cls(
            name=str(value["name"]),
            account=str(value["account"]),
            stack=str(value["stack"]),
            waves=tuple(tuple(map(str, wave)) for wave in value["waves"]),
            capabilities=tuple(map(str, value["capabilities"])),
            parameters=_texts(value["parameters"]),
            region_parameters={
                str(region): _texts(texts) for region, texts in value["region_parameters"].items()
            },
            tags=_texts(value["tags"]),
            stack_policy=None if value["stack_policy"] is None else dict(value["stack_policy"]),
            approval=None if value["approval"] is None else When(value["approval"]),
            bake=None
            if bake is None
            else Bake(int(bake["minutes"]), tuple(map(str, bake["alarms"]))),
            on_failure=OnFailure(value["on_failure"]),
            trials=tuple(
                Trial(
                    str(one["name"]),
                    str(one["project"]),
                    str(one["function"]),
                    bool(one["each_region"]),
                )
                for one in value["trials"]
            ),
            joins=str(value["joins"]),
        )


def _texts(value: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()}


# AWS CodePipeline User Guide, "Variables reference".
PIPELINE_VARIABLE = re.compile(r"#\{([^}]*)\}")


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):

        def known(found: re.Match[str]) -> str:
            if found[1] not in values:
                raise PermanentError(f"no action of the pipeline has given {found[0]}")
            return values[found[1]]

        return PIPELINE_VARIABLE.sub(known, value)
    if isinstance(value, Mapping):
        return {name: _filled(item, values) for name, item in value.items()}
    return [_filled(item, values) for item in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class ReleaseTargets:
    """What a project's releases are made for, as a pipeline's expansion publishes it: the targets
    in their order. `branch` is the source's, `home_region` where records are kept."""

    project: str
    home_region: str
    targets: tuple[ReleaseTarget, ...]
    branch: str = ""

    def named(self, name: str) -> ReleaseTarget:
        """Raises PermanentError for a target that there is not."""
        for target in self.targets:
            if target.name == name:
                return target
        known = ", ".join(target.name for target in self.targets) or "none"
        raise PermanentError(f"{self.project} has no target {name}; it has {known}")

    @property
    def text(self) -> str:
        """One line of JSON. CloudFormation resolves nothing in it, however it looks: `{{` begins
        a dynamic reference (AWS CloudFormation User Guide, "Dynamic references")."""
        return _line(asdict(self)).replace("{{", "{\\u007b")

    @property
    def digest(self) -> str:
        """What proves that a text is the one that was published."""
        return _digest(self.text)

    @classmethod
    def parse(cls, text: str, digest: str) -> "ReleaseTargets":
        """Raises PermanentError for a text that has another digest, or is none of ours."""
        try:
            value = json.loads(text)
            found = cls(
                str(value["project"]),
                str(value["home_region"]),
                tuple(ReleaseTarget.from_json(one) for one in value["targets"]),
                str(value["branch"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PermanentError(
                f"this is no list of targets that Foothold wrote ({type(error).__name__})"
            ) from None
        if found.digest != digest:
            raise PermanentError(
                f"the targets of {found.project} are not those that this pipeline was deployed "
                "with: start the pipeline again, or deploy it again"
            )
        return found

    @classmethod
    def published(cls, parameters: Mapping[str, str], path: str, digest: str) -> "ReleaseTargets":
        """The list that stands in the parameters below `path`, by their names, in parts that are
        numbered from 1. Raises PermanentError where there is none, and as `parse` does."""
        return cls.parse(cls.published_text(parameters, path), digest)

    @classmethod
    def as_published(cls, parameters: Mapping[str, str], path: str) -> "ReleaseTargets":
        """The same, taken at its word: for whoever only reads, and has no digest to prove it."""
        text = cls.published_text(parameters, path)
        return cls.parse(text, _digest(text))

    @staticmethod
    def published_text(parameters: Mapping[str, str], path: str) -> str:
        """What stands in those parameters, put together. Raises PermanentError for nothing."""
        below = f"{path}/"
        parts = {
            int(number): text
            for name, text in parameters.items()
            if name.startswith(below) and (number := name.removeprefix(below)).isdecimal()
        }
        if not parts:
            raise PermanentError(
                f"there is no parameter {below}1, which a pipeline publishes what its releases "
                "are made for in: deploy the pipeline's stack again"
            )
        return "".join(parts[number] for number in sorted(parts))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Where a release's source comes from, as far as anybody said."""

    commit: str = ""
    branch: str = ""
    message: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseRegion:
    """One region's share: the bucket and key of its store, its template's SHA-256 in hexadecimal,
    and `neutral`, the same for the template and its objects without the region's own names."""

    region: str
    bucket: str
    key_arn: str
    template_sha256: str
    neutral: str


@dataclass(frozen=True, slots=True)
class Release:
    """What one packaging made. `packaged_at` is a time of UTC in ISO 8601, `packaged_by` an ARN."""

    project: str
    regions: Mapping[str, ReleaseRegion]
    targets: tuple[ReleaseTarget, ...] = ()
    source: SourceFacts = SourceFacts()
    packaged_at: str = ""
    packaged_by: str = ""

    @property
    def id(self) -> str:
        """16 hexadecimal digits of what it is made of, and of nothing else. Regions whose content
        is the same count once."""
        contents: dict[str, list[str]] = {}
        for region in sorted(self.regions):
            contents.setdefault(self.regions[region].neutral, []).append(region)
        alone = len(contents) == 1
        content: Json = {
            "project": self.project,
            "contents": {digest: [] if alone else names for digest, names in contents.items()},
            "targets": [target.as_json() for target in self.targets],
        }
        return hashlib.sha256(_line(content).encode()).hexdigest()[:16]

    @property
    def prefix(self) -> str:
        return f"{releases_prefix(self.project)}{self.id}/"

    def named(self, name: str) -> ReleaseTarget:
        """Raises PermanentError for a target that the release was not configured for."""
        for target in self.targets:
            if target.name == name:
                return target
        known = ", ".join(target.name for target in self.targets) or "none"
        raise PermanentError(
            f"release {self.id} of {self.project} is not configured for {name}; its targets: "
            f"{known}"
        )

    def as_json(self) -> Json:
        return {"id": self.id, **asdict(self)}

    def render(self) -> bytes:
        """The file that holds it."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, body: bytes | str, where: str) -> "Release":
        """Raises PermanentError where the body is not what `render` gives, or is not what its id
        says; `where` names the object."""
        try:
            value = json.loads(body)
            found = cls(
                project=str(value["project"]),
                regions={
                    str(name): ReleaseRegion(**{key: str(text) for key, text in each.items()})
                    for name, each in value["regions"].items()
                },
                targets=tuple(ReleaseTarget.from_json(one) for one in value["targets"]),
                source=SourceFacts(**_texts(value["source"])),
                packaged_at=str(value["packaged_at"]),
                packaged_by=str(value["packaged_by"]),
            )
            said = value["id"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PermanentError(
                f"{where} is no release that Foothold wrote ({type(error).__name__})"
            ) from None
        if found.id != said:
            raise PermanentError(f"{where} says that it is release {said}, and is {found.id}")
        return found


def releases_prefix(project: str) -> str:
    """Below it a project's releases stand, in every bucket."""
    return f"{project}/releases/"


def reviews_prefix(project: str) -> str:
    """Below it a project's reviews stand, in the home store, in a folder for each target."""
    return f"{project}/reviews/"


def review_prefix(project: str, target: str, execution: str) -> str:
    """Below it the files of one execution's review stand."""
    return f"{reviews_prefix(project)}{target}/{execution}/"


def sharing_waves(
    first: ReleaseTarget, targets: Iterable[ReleaseTarget]
) -> tuple[ReleaseTarget, ...]:
    """The target, and those of the others that share its waves."""
    return (first, *(each for each in targets if each.joins == first.name))


def configuration_name(target: str, region: str) -> str:
    """The file that configures a target's stack in a region."""
    return f"configuration-{target}-{region}.json"


def change_set_name(project: str, execution: str) -> str:
    """The name of all change sets of one execution, of CodePipeline's or of our own. Up to 128
    letters, digits and hyphens (AWS CloudFormation API Reference, "CreateChangeSet")."""
    return f"foothold-{project}-{execution}"


def neutral_digest(template: str, objects: Iterable[tuple[str, str]]) -> str:
    """One digest for a region's template and objects, from their digests without the region's own
    names; of each object, who uses it, and its digest."""
    return hashlib.sha256(_line([template, sorted(map(list, objects))]).encode()).hexdigest()
