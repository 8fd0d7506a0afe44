"""Who asks, and for what: the ARNs and addresses that people write, as values. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum

from foothold.errors import PermanentError
from foothold.partitions import partition_of
from foothold.refused import READER_ROLE
from foothold.releases.model import CLOUDFORMATION_ROLE, DEPLOY_ROLE

ROLE = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/((?:[\w+=,.@-]+/)*([\w+=,.@-]{1,64}))")
SESSION = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([\w+=,.@-]{1,64})(?:/\S*)?")
OTHERS = {
    "an account's root": re.compile(r"arn:aws[a-z-]*:iam::\d{12}:root"),
    "a user": re.compile(r"arn:aws[a-z-]*:iam::\d{12}:user/\S+"),
    "a federated user": re.compile(r"arn:aws[a-z-]*:sts::\d{12}:federated-user/\S+"),
    "a service": re.compile(r"[a-z0-9.-]+\.amazonaws\.com(?:\.cn)?"),
}
WAY_OUT = {
    "an account's root": "no policy of its account binds it: name the role that is refused",
    "a user": "Foothold lets roles in and no users: name the role that is refused",
    "a federated user": "Foothold lets roles in and no users: name the role that is refused",
    "a service": "a service acts here in a role of yours: name that role",
}
S3_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)")
ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")


class Purpose(StrEnum):
    """What a role is for, as its name tells it."""

    PIPELINE = "the pipeline"
    BUILD = "the build"
    PACKAGE = "the package function"
    DEPLOY = "the deploy role"
    CLOUDFORMATION = "CloudFormation"
    READER = "the reader role"
    OTHER = "a role"

    @property
    def service(self) -> str | None:
        """The service that is to be this role; None where it is no service, or unknown."""
        return _SERVICES.get(self)


_SERVICES = {
    Purpose.PIPELINE: "codepipeline.amazonaws.com",
    Purpose.BUILD: "codebuild.amazonaws.com",
    Purpose.PACKAGE: "lambda.amazonaws.com",
    Purpose.CLOUDFORMATION: "cloudformation.amazonaws.com",
}


@dataclass(frozen=True, slots=True)
class AskingRole:
    """The role that asks: `path` is its name with the path before it."""

    partition: str
    account: str
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.path}"

    @property
    def project(self) -> str:
        """Of a pipeline's role, or its build's, the pipeline's name."""
        return self.name.removeprefix("foothold-").rpartition("-")[0]

    @property
    def purpose(self) -> Purpose:
        named = {
            DEPLOY_ROLE: Purpose.DEPLOY,
            CLOUDFORMATION_ROLE: Purpose.CLOUDFORMATION,
            READER_ROLE: Purpose.READER,
        }
        if self.name in named:
            return named[self.name]
        # CloudFormation puts the logical id into the names that it makes up.
        if "PackageRole" in self.name:
            return Purpose.PACKAGE
        for ending, purpose in (("-pipeline", Purpose.PIPELINE), ("-build", Purpose.BUILD)):
            if self.name.startswith("foothold-") and self.name.endswith(ending):
                return purpose
        return Purpose.OTHER


@dataclass(frozen=True, slots=True)
class Question:
    """May this role do this with an artifact of a region's store? `key` is the object's, None for
    any object; `caller` the ARN of the role that is to become this one, or of one of
    its sessions, where it is known."""

    role: AskingRole
    action: str
    region: str
    bucket: str | None = None
    key: str | None = None
    caller: str | None = None

    @property
    def is_about_artifacts(self) -> bool:
        return is_about_artifacts(self.action)


def is_about_artifacts(action: str) -> bool:
    """Whether an action can be one on an artifact or its key; of all others only the principal's
    side is looked at."""
    return action.partition(":")[0] in {"s3", "kms"}


def asking_role(text: str) -> AskingRole:
    """The role of this ARN; a session's ARN stands for its role, whose path no session tells.

    Raises PermanentError for whoever is no role, and says what to ask instead.
    """
    given = text.strip()
    if found := ROLE.fullmatch(given):
        return AskingRole(found[1], found[2], found[3])
    if found := SESSION.fullmatch(given):
        return AskingRole(found[1], found[2], found[3])
    for kind, pattern in OTHERS.items():
        if pattern.fullmatch(given):
            raise PermanentError(f"{given} is {kind}: {WAY_OUT[kind]}")
    raise PermanentError(
        f"{given[:200]!r} is no principal: give a role's ARN, arn:aws:iam::ACCOUNT:role/NAME"
    )


def artifact(text: str) -> tuple[str, str]:
    """The bucket and the key of an artifact's address. Raises PermanentError."""
    found = S3_URI.fullmatch(text.strip())
    if not found:
        raise PermanentError(f"{text[:200]!r} is no artifact: write s3://BUCKET/KEY")
    return found[1], found[2]


def known_action(text: str) -> str:
    """The action as AWS spells it out, such as s3:GetObject. Raises PermanentError for what is
    none."""
    if not ACTION.fullmatch(text):
        raise PermanentError(f"{text[:100]!r} is no action: give one such as s3:GetObject")
    return text


def checked_region(region: str) -> str:
    """The region's name. Raises PermanentError for what can be none."""
    partition_of(region)
    return region
