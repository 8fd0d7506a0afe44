"""What the acceptance run asks a live account: the claims as data, how an answer is judged, and
the table that comes of it.

The claims are those that no emulator decides (docs/proof.md, "What only AWS can show"). An answer
is what one real request got; nothing here knows how it was sent.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from foothold.errors import FootholdError, PermanentError
from foothold.partitions import partition_of
from foothold.stores.model import BUCKET_NAME
from foothold.stores.register import ArtifactStore

# Everything that a run makes carries this tag, or its value as a name or a prefix.
RUN_TAG = "foothold:accept"
# The account is asked this often at most; what is left of it after the rows is for cleaning up.
MOST_CALLS = 150
CALLS_FOR_ROWS = 105


class Reply(StrEnum):
    """What became of one request."""

    DONE = "done"
    REFUSED = "refused"  # by a policy of the store
    NO_RIGHT = "no right"  # by the caller's own policies, so nothing is shown
    NOT_KNOWN = "not known"  # the service, or this operation of it, is not there
    NOT_ASKED = "not asked"
    LATE = "late"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a request, in words for a person. `words` of NO_RIGHT are the action that is
    lacking; `key_arn` is the key that an object was written under, where there is one."""

    reply: Reply
    words: str = ""
    key_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Encryption:
    """What a write says of its encryption: nothing, an algorithm, the ARN or id of a key, or that
    the writer brings a key of its own (SSE-C)."""

    algorithm: str | None = None
    key: str | None = None
    own_key: bool = False


@dataclass(frozen=True, slots=True)
class StackSeen:
    """A stack's status, and the reason of its first failure where it has failed."""

    status: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}" if self.reason else self.status


class Expected(StrEnum):
    """How an answer is judged."""

    DONE = "allowed"
    UNDER_ITS_KEY = "allowed, under the store's key"
    REFUSED = "refused"
    IN_TIME = "done in time"


class ClaimVerdict(StrEnum):
    HOLDS = "holds"
    FAILS = "fails"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class AcceptanceClaim:
    """One row. `within` is the longest that the answer may take, in seconds."""

    name: str
    words: str
    expected: Expected
    within: float | None = None


# The longest that each thing may take. A stack's custom resource has 300 s (ServiceTimeout), and
# CloudFormation needs a while around it. Tags of a key count after five minutes at the latest (AWS
# KMS Developer Guide, "ABAC for AWS KMS").
STORE_SECONDS = 360.0
EVENT_SECONDS = 120.0
TAG_SECONDS = 360.0
ALIAS_SECONDS = 300.0
RUN_SECONDS = 900.0

CLAIMS = (
    AcceptanceClaim(
        "ask-by-stack",
        "a stack's Custom::ArtifactStore makes the store",
        Expected.IN_TIME,
        STORE_SECONDS,
    ),
    AcceptanceClaim(
        "delay-tag",
        "the store's key is found by its tags",
        Expected.IN_TIME,
        TAG_SECONDS,
    ),
    AcceptanceClaim(
        "ask-by-event",
        "the event Regions Requested has its outcome (from PutEvents on)",
        Expected.IN_TIME,
        EVENT_SECONDS,
    ),
    AcceptanceClaim(
        "ask-by-list",
        "a region that is put on the list is published",
        Expected.IN_TIME,
        EVENT_SECONDS,
    ),
    AcceptanceClaim(
        "ask-by-list-alone",
        "a change of the list is noticed by its own event of Parameter Store",
        Expected.IN_TIME,
        EVENT_SECONDS,
    ),
    AcceptanceClaim(
        "write-right-key",
        "a write that names aws:kms and the store's key by its ARN",
        Expected.UNDER_ITS_KEY,
    ),
    AcceptanceClaim(
        "write-default",
        "a write without a header (default encryption)",
        Expected.UNDER_ITS_KEY,
    ),
    AcceptanceClaim(
        "write-part",
        "an upload in parts that names aws:kms and the store's key",
        Expected.UNDER_ITS_KEY,
    ),
    AcceptanceClaim(
        "write-part-default",
        "an upload in parts without a header",
        Expected.UNDER_ITS_KEY,
    ),
    AcceptanceClaim("write-other-key", "a write that names another key", Expected.REFUSED),
    AcceptanceClaim(
        "write-part-other-key",
        "an upload in parts that names another key",
        Expected.REFUSED,
    ),
    AcceptanceClaim(
        "write-key-by-id",
        "a write that names the store's key by its bare id",
        Expected.REFUSED,
    ),
    AcceptanceClaim(
        "write-unnamed-key",
        "a write that names aws:kms and no key",
        Expected.REFUSED,
    ),
    AcceptanceClaim("write-aes256", "a write that names AES256", Expected.REFUSED),
    AcceptanceClaim(
        "write-own-key",
        "a write with a key of the writer's own (SSE-C)",
        Expected.REFUSED,
    ),
    AcceptanceClaim("read-owner", "a read by the account that owns it", Expected.DONE),
    AcceptanceClaim("read-plain-http", "the same read over plain HTTP", Expected.REFUSED),
    AcceptanceClaim(
        "read-deploy-role",
        "a read by a deploy role of a target account",
        Expected.DONE,
    ),
    AcceptanceClaim(
        "read-other-role",
        "a read by a role of that account with another name",
        Expected.REFUSED,
    ),
    AcceptanceClaim(
        "delay-alias",
        "a new alias of a key leads to the key",
        Expected.IN_TIME,
        ALIAS_SECONDS,
    ),
    AcceptanceClaim(
        "package",
        "the package function packages a tiny build for the region",
        Expected.IN_TIME,
        TAG_SECONDS,
    ),
    AcceptanceClaim(
        "pipeline",
        "CodePipeline takes the smallest declaration with two regions",
        Expected.IN_TIME,
        STORE_SECONDS,
    ),
    AcceptanceClaim(
        "pipeline-run",
        "its source, build and package stages succeed",
        Expected.IN_TIME,
        RUN_SECONDS,
    ),
    AcceptanceClaim(
        "retire",
        "the store is retired: its tags count for the control plane's rights",
        Expected.IN_TIME,
        TAG_SECONDS,
    ),
)
BY_NAME = {claim.name: claim for claim in CLAIMS}

# Which operation a caller lacks, and who keeps it from him, is said by the message (IAM User Guide,
# "Troubleshoot access denied error messages").
LACKING = re.compile(r"is not authorized to perform: ([\w-]+:\w+)")
BY_THE_RESOURCE = "resource-based policy"
UNKNOWN = re.compile(
    r"Unrecognized resource types|UnknownOperation|InvalidAction|NotImplemented|"
    r"Could not connect to the endpoint"
)


def refusal(text: str) -> Answer:
    """What a denial of S3's says: by the store's policies, unless it names the caller's own."""
    lacking = LACKING.search(text)
    if lacking and " policy" in text and BY_THE_RESOURCE not in text:
        return Answer(Reply.NO_RIGHT, lacking[1])
    return Answer(Reply.REFUSED, "AccessDenied")


def answer_to(error: FootholdError) -> Answer:
    """What an error says that stopped a row."""
    text = str(error)
    lacking = LACKING.search(text)
    if lacking and BY_THE_RESOURCE not in text:
        return Answer(Reply.NO_RIGHT, lacking[1])
    return Answer(Reply.NOT_KNOWN if UNKNOWN.search(text) else Reply.OTHER, text)


@dataclass(frozen=True, slots=True)
class Finding:
    """One row with what was seen, and how many seconds it took."""

    name: str
    claim: str
    expected: str
    seen: str
    seconds: float
    verdict: ClaimVerdict


def judge(
    claim: AcceptanceClaim, answer: Answer, seconds: float, store: ArtifactStore | None = None
) -> Finding:
    """What an answer that took some seconds says about a claim. `store` is the one that was
    asked about, for the claims about its key."""
    expected = claim.expected.value
    if claim.within is not None:
        expected = f"within {claim.within:.0f} s"
    verdict, seen = _verdict(claim, answer, store)
    return Finding(claim.name, claim.words, expected, seen, round(seconds, 1), verdict)


def _verdict(
    claim: AcceptanceClaim, answer: Answer, store: ArtifactStore | None
) -> tuple[ClaimVerdict, str]:
    refused = claim.expected is Expected.REFUSED
    under = answer.key_arn or "no key of KMS"
    match answer.reply:
        case Reply.NOT_ASKED:
            found = ClaimVerdict.NOT_ASKED, answer.words
        case Reply.NO_RIGHT:
            found = ClaimVerdict.NOT_ASKED, f"the caller may not {answer.words}"
        case Reply.NOT_KNOWN:
            found = ClaimVerdict.NOT_ASKED, f"AWS does not have this here: {answer.words}"
        case Reply.REFUSED:
            found = ClaimVerdict.HOLDS if refused else ClaimVerdict.FAILS, answer.words
        case Reply.DONE if refused:
            found = ClaimVerdict.FAILS, f"allowed, under {under}" if answer.key_arn else "allowed"
        case Reply.DONE if claim.expected is Expected.UNDER_ITS_KEY:
            right = store is not None and answer.key_arn == store.key_arn
            found = (
                (ClaimVerdict.HOLDS, claim.expected.value)
                if right
                else (
                    ClaimVerdict.FAILS,
                    f"written under {under}",
                )
            )
        case Reply.DONE:
            found = ClaimVerdict.HOLDS, answer.words or "allowed"
        case _:
            found = ClaimVerdict.FAILS, answer.words
    return found


# --- What a run remembers -----------------------------------------------------------------------


RUN_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has begun. `id` is in every name that it gives; `fresh` says that the region
    had no store before, so that the store is retired in the end; `home_bucket` is where the source
    of a pipeline that is run lies; `started` is in seconds since the epoch."""

    id: str
    region: str
    fresh: bool
    started: int
    home_bucket: str | None = None

    @property
    def name(self) -> str:
        """The first part of all names. CodePipeline names a pipeline's folder after the first 20
        characters of its name, and this is shorter."""
        return f"accept-{self.id}"

    @property
    def stack(self) -> str:
        return f"foothold-{self.name}"

    @property
    def pipeline_stack(self) -> str:
        return f"foothold-{self.name}-pipeline"

    @property
    def alias(self) -> str:
        return f"alias/foothold-{self.name}"

    @property
    def prefix(self) -> str:
        """What all its objects' keys begin with."""
        return f"{self.name}/"

    @property
    def began(self) -> str:
        return datetime.fromtimestamp(self.started, UTC).strftime("%Y-%m-%d %H:%M UTC")

    @property
    def text(self) -> str:
        """The value of the parameter that remembers it."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, name: str, text: str) -> "Run":
        """What the value of the parameter `name` says. Raises PermanentError for what nobody of
        ours wrote."""
        try:
            found = json.loads(text)
            partition_of(found["region"])
            run = cls(*(found[field.name] for field in fields(cls)))
            sound = (
                RUN_ID.fullmatch(run.id)
                and isinstance(run.fresh, bool)
                and isinstance(run.started, int)
                and (run.home_bucket is None or BUCKET_NAME.fullmatch(run.home_bucket))
            )
        except (KeyError, TypeError, ValueError, PermanentError):
            run, sound = None, None
        if not run or not sound:
            raise PermanentError(
                f"the parameter {name} does not hold an acceptance run, nothing was changed: "
                "delete the parameter"
            )
        return run


def smallest_pipeline(run: Run, home: ArtifactStore, account: str) -> Mapping[str, Any]:
    """The declaration of a pipeline in two regions, as somebody would write it. Its source is an
    object in the home store that is there only while the pipeline is run."""
    return {
        "Name": run.name,
        "Source": {"S3": {"Bucket": home.bucket, "Key": source_key(run)}},
        "Targets": [
            {
                "Name": "Target",
                "Account": account,
                "Stack": run.name,
                "Regions": sorted({home.region, run.region}),
            }
        ],
    }


def source_key(run: Run) -> str:
    return f"{run.prefix}source.zip"


# --- What comes of it ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """The table. `calls` is how often AWS was asked; `left` are lines about what could not be
    taken away, and whom to ask."""

    run: Run
    home_region: str
    account: str
    findings: tuple[Finding, ...]
    calls: int
    left: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether no claim fails, and nothing was left behind."""
        return not self.left and not any(
            finding.verdict is ClaimVerdict.FAILS for finding in self.findings
        )

    @property
    def summary(self) -> str:
        numbers = dict.fromkeys(ClaimVerdict, 0)
        for finding in self.findings:
            numbers[finding.verdict] += 1
        return (
            f"{numbers[ClaimVerdict.HOLDS]} claims hold, {numbers[ClaimVerdict.FAILS]} fail, "
            f"{numbers[ClaimVerdict.NOT_ASKED]} not asked; {self.calls} calls to AWS"
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run.id,
            "region": self.run.region,
            "home_region": self.home_region,
            "account": self.account,
            "date": self.run.began,
            "store_was_there_before": not self.run.fresh,
            "holds": self.holds,
            "calls": self.calls,
            "left": list(self.left),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def as_markdown(self) -> str:
        before = "no" if self.run.fresh else "yes"
        about = (
            f"{self.run.began}, account {self.account}, home region {self.home_region}, "
            f"run {self.run.id}. Store there before: {before}. {self.summary}."
        )
        lines = [
            f"# Acceptance of {self.run.region}",
            "",
            about,
            "",
            "| row | claim | expected | seen | seconds | |",
            "| --- | --- | --- | --- | ---: | --- |",
            *_rows(self.findings),
        ]
        if self.left:
            lines += ["", "Left behind:", "", *(f"- {line}" for line in self.left)]
        return "\n".join(lines) + "\n"


def _rows(findings: Iterable[Finding]) -> Iterable[str]:
    for finding in findings:
        seen = " ".join(finding.seen.replace("|", "\\|").split())
        yield (
            f"| {finding.name} | {finding.claim} | {finding.expected} | {seen} "
            f"| {finding.seconds:.1f} | {finding.verdict} |"
        )
