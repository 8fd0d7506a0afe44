"""Who may do what with a store, row by row, judged by an evaluator that is not ours.

The expected verdicts follow from the rules in `expected`, which say in plain words what the two
policies are for; they are not read from the policies.
"""

import copy
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from foothold.stores.model import ControlPlane, StoreSpec
from foothold.stores.policies import bucket_policy, key_policy
from proof.judge import Question, Row, allowed, as_expected, install
from proof.result import Result, Scale, side_by_side

TOOLS, MEMBER, OTHER = "111111111111", "222222222222", "999999999999"
LISTED, UNLISTED = "666666666666", "777777777777"
ORGANIZATION, ANOTHER_ORGANIZATION = "o-example", "o-another"
READERS = ("foothold-deploy", "foothold-cloudformation")
POLICY_BYTES = {"bucket": 20 * 1024, "key": 32 * 1024}  # S3 and KMS quotas

Place = tuple[str, bool | str]

FULL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}],
}


@dataclass(frozen=True)
class Principal:
    """Somebody with every permission of their own account, or none; what is left to decide is
    decided by the store's policies."""

    account: str
    name: str
    organization: str | None
    permitted: bool = True
    unit: str = "ou-prod"  # of the organisation, if in one

    def arn(self, partition: str) -> str:
        if self.name == "Anonymous":
            return "Anonymous"
        if not self.account:
            return self.name
        return f"arn:{partition}:iam::{self.account}:role/{self.name}"


PRINCIPALS = (
    Principal(TOOLS, "control-plane", ORGANIZATION),
    Principal(TOOLS, "nobody", ORGANIZATION, permitted=False),
    # A mistyped organisation must not lock the owner out.
    Principal(TOOLS, "owner-of-another-organization", ANOTHER_ORGANIZATION),
    Principal(MEMBER, "foothold-deploy", ORGANIZATION),
    Principal(MEMBER, "foothold-cloudformation", ORGANIZATION),
    Principal(MEMBER, "foothold-deploy-not", ORGANIZATION),
    Principal(MEMBER, "admin", ORGANIZATION),
    Principal(MEMBER, "foothold-deploy", ORGANIZATION, permitted=False),
    # Of the two below, each lacks one of what readers are narrowed to.
    Principal(LISTED, "foothold-deploy", ORGANIZATION, unit="ou-test"),
    Principal(UNLISTED, "foothold-deploy", ORGANIZATION),
    Principal(OTHER, "foothold-deploy", ANOTHER_ORGANIZATION),
    Principal(OTHER, "foothold-deploy", None),
    Principal("", "Anonymous", None, permitted=False),
)
SERVICE = Principal("", "logging.s3.amazonaws.com", None, permitted=False)
OPENED = {
    "Sid": "SomebodyLetsEverybodyRead",
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject*",
    "Resource": "*",
}
BUCKET_ACTIONS = (
    "s3:ListBucket",
    "s3:GetBucketLocation",
    "s3:GetBucketPolicy",
    "s3:GetBucketVersioning",
    "s3:PutBucketPolicy",
    "s3:DeleteBucket",
)
OBJECT_ACTIONS = (
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
)
READS = ("s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetObject", "s3:GetObjectVersion")
KEY_ACTIONS = (
    "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey", "kms:Encrypt", "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion", "kms:CreateGrant",
)  # fmt: skip
# Whether over TLS, and which version.
TRANSPORTS = ((True, "1.2"), (True, "1.3"), (True, "1.1"), (False, None))
THE_KEY, ANOTHER_KEY = "the key", "another key"
# The encryption headers of a PutObject: algorithm, key, whether the customer provides the key.
HEADERS = (
    (None, None, False),
    ("aws:kms", None, False),
    ("aws:kms", THE_KEY, False),
    ("aws:kms", ANOTHER_KEY, False),
    ("aws:kms:dsse", THE_KEY, False),
    ("AES256", None, False),
    (None, None, True),
)
VIA = ("s3 here", "s3 elsewhere", "lambda here", None)
# Whether an organisation is configured, or even narrowed.
NARROWED = ("eu-west-1", "narrowed")
PLACES: tuple[Place, ...] = (
    ("eu-west-1", True),
    ("cn-north-1", True),
    ("us-gov-west-1", True),
    ("eu-west-1", False),
    NARROWED,
)
ORG_PATHS = (f"{ORGANIZATION}/r-root/ou-prod/*",)
READER_ACCOUNTS = (MEMBER, LISTED)


@dataclass(frozen=True)
class Decision:
    """One row of the table. `place` is a region, and whether an organisation is configured, or
    narrowed to a unit and to accounts."""

    place: Place
    principal: Principal
    action: str
    tls: tuple[bool, str | None] = (True, "1.2")
    headers: tuple[str | None, str | None, bool] = (None, None, False)
    via: str | None = None
    # Somebody has added a statement that lets everybody read.
    opened: bool = False

    def __str__(self) -> str:
        who = self.principal
        return (
            f"{who.name} of {who.account} in {who.organization} {self.action} "
            f"tls={self.tls} headers={self.headers} via={self.via} at {self.place}"
            f"{', opened' if self.opened else ''}"
        )


def table() -> list[Decision]:
    rows = []
    for place, principal in _asked_there(PRINCIPALS):
        for action, tls in product((*BUCKET_ACTIONS, *OBJECT_ACTIONS), TRANSPORTS):
            rows.append(Decision(place, principal, action, tls))
        for headers, tls in product(HEADERS, TRANSPORTS[:3:2]):
            rows.append(Decision(place, principal, "s3:PutObject", tls, headers))
        for action, via in product(KEY_ACTIONS, VIA):
            rows.append(Decision(place, principal, action, via=via))
    for (place, principal), tls in product(_asked_there((*PRINCIPALS, SERVICE)), TRANSPORTS):
        rows.append(Decision(place, principal, "s3:GetObject", tls, opened=True))
    return rows


def _asked_there(principals: Sequence[Principal]) -> list[tuple[Place, Principal]]:
    """Each principal at each place; those that narrowing is about, only where there is some."""
    return [
        (place, who)
        for place, who in product(PLACES, principals)
        if place == NARROWED or who.account not in (LISTED, UNLISTED)
    ]


def expected(row: Decision) -> bool:  # noqa: PLR0911  one rule after the other
    """What the policies are for, in plain words."""
    who = row.principal
    if row.opened:
        if who.account not in ("", TOOLS) and not who.permitted:
            return False  # their own account has to permit it, too
        # Without an organisation there is nobody to tell apart.
        inside = who.organization == ORGANIZATION or who.account == TOOLS or who is SERVICE
        return row.tls in TRANSPORTS[:2] and (inside or not row.place[1])
    reader = bool(row.place[1]) and who.organization == ORGANIZATION and who.name in READERS
    if row.place == NARROWED:
        reader = reader and who.unit == "ou-prod" and who.account in READER_ACCOUNTS
    if not who.permitted:
        return False
    if row.action.startswith("kms:"):
        if who.account == TOOLS:
            return True
        if row.action == "kms:Decrypt":
            return reader and row.via == "s3 here"
        return reader and row.action == "kms:DescribeKey"
    secure, version = row.tls
    if not secure or version == "1.1":
        return False
    algorithm, key, customers = row.headers
    # Both named, or none, which means the bucket's own default.
    if customers or (algorithm, key) not in ((None, None), ("aws:kms", THE_KEY)):
        return False
    return who.account == TOOLS or (reader and row.action in READS)


# --- Asking ------------------------------------------------------------------------------------


def spec_of(place: Place) -> StoreSpec:
    region, organized = place
    plane = ControlPlane(
        account=TOOLS,
        home_region=region,
        stack="foothold",
        organization_ids=(ORGANIZATION,) if organized else (),
        reader_roles=READERS,
        reader_org_paths=ORG_PATHS if place == NARROWED else (),
        reader_accounts=READER_ACCOUNTS if place == NARROWED else (),
    )
    return plane.spec(region)


def key_arn(spec: StoreSpec, number: str = "1") -> str:
    return f"arn:{spec.partition.name}:kms:{spec.region}:{TOOLS}:key/{number * 8}"


Documents = dict[str, Any]


def documents() -> Documents:
    """Every policy that has a say, by the name that the rows give it."""
    named: Documents = {"full": FULL}
    for place in PLACES:
        spec = spec_of(place)
        named[f"bucket {place}"] = bucket_policy(spec, key_arn(spec))
        named[f"key {place}"] = key_policy(spec)
    return _with_opened(named)


def _with_opened(named: Documents) -> Documents:
    """Each bucket policy also with the statement that somebody adds to it."""
    opened = {
        f"opened {name}": document | {"Statement": [*document["Statement"], OPENED]}
        for name, document in named.items()
        if name.startswith("bucket ")
    }
    return named | opened


def asked(row: Decision) -> Row:
    """The request of this row, as AWS sees it."""
    spec = spec_of(row.place)
    partition, suffix = spec.partition.name, spec.partition.dns_suffix
    who = row.principal
    context: dict[str, str | list[str]] = {
        "aws:SecureTransport": str(row.tls[0]).lower(),
        "aws:PrincipalIsAWSService": str(who is SERVICE).lower(),
    }
    if who.account:
        context |= {"aws:PrincipalAccount": who.account, "aws:PrincipalArn": who.arn(partition)}
    if who.organization:
        context["aws:PrincipalOrgID"] = who.organization
        context["aws:PrincipalOrgPaths"] = [f"{who.organization}/r-root/{who.unit}/"]
    if row.action.startswith("kms:"):
        hosts = {
            "s3 here": f"s3.{spec.region}.{suffix}",
            "s3 elsewhere": f"s3.xx-other-1.{suffix}",
            "lambda here": f"lambda.{spec.region}.{suffix}",
        }
        if row.via:
            context["kms:ViaService"] = hosts[row.via]
        resource, policy = key_arn(spec), f"key {row.place}"
    else:
        if row.tls[1]:
            context["s3:TlsVersion"] = row.tls[1]
        context |= _headers(spec, row.headers)
        objects = row.action not in BUCKET_ACTIONS
        resource = f"{spec.bucket_arn}/p/builds/abc" if objects else spec.bucket_arn
        policy = f"{'opened ' if row.opened else ''}bucket {row.place}"
    return Row(
        who.arn(partition),
        row.action,
        resource,
        TOOLS,
        context,
        ("full",) if who.permitted else (),
        policy,
    )


def _headers(spec: StoreSpec, headers: tuple[str | None, str | None, bool]) -> dict[str, str]:
    algorithm, key, customers = headers
    sent = {}
    if algorithm:
        sent["s3:x-amz-server-side-encryption"] = algorithm
    if key:
        arn = key_arn(spec) if key == THE_KEY else key_arn(spec, "2")
        sent["s3:x-amz-server-side-encryption-aws-kms-key-id"] = arn
    if customers:
        sent["s3:x-amz-server-side-encryption-customer-algorithm"] = "AES256"
    return sent


def wrong(named: Mapping[str, Any], rows: list[Decision]) -> list[str]:
    """The rows that are judged otherwise than they should be."""
    verdicts = allowed(named, [asked(row) for row in rows])
    return [
        f"{row}: {'allowed' if verdict else 'denied'}"
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict != expected(row)
    ]


def decisions(_scale: Scale) -> Result:
    """Principal x action x TLS x header x service x organisation, in three partitions."""
    rows = table()
    return Result(len(rows), tuple(wrong(documents(), rows)))


NARROWING = ("aws:PrincipalOrgPaths", "aws:PrincipalAccount")
# Whoever gets past one of these meets the other: each is taken away together with its twin.
TWO_LOCKS = {("OrganizationDeployRolesRead", "aws:PrincipalOrgID"): "DenyOutsideOrganization"}


def weakened() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each document without one of its statements or conditions: what is missing, the name of
    the document, and what is left of it."""
    for name in (f"{kind} {place}" for place in (PLACES[0], NARROWED) for kind in POLICY_BYTES):
        whole = documents()[name]
        narrowed = name.endswith(str(NARROWED))
        for number, statement in enumerate(whole["Statement"]):
            if narrowed and statement["Effect"] == "Deny":
                continue  # the same as without
            less = copy.deepcopy(whole)
            del less["Statement"][number]
            if not narrowed:
                yield f"{name} without {statement['Sid']}", name, less
            for operator, keys in statement.get("Condition", {}).items():
                for key in keys:
                    if narrowed and key not in NARROWING:
                        continue
                    less = copy.deepcopy(whole)
                    del less["Statement"][number]["Condition"][operator][key]
                    twin = TWO_LOCKS.get((statement["Sid"], key))
                    less["Statement"] = [one for one in less["Statement"] if one["Sid"] != twin]
                    yield f"{name}, {statement['Sid']} without {operator} {key}", name, less


def necessary(_scale: Scale) -> Result:
    """Each statement and each condition matters: without it, some row is judged otherwise."""
    install()  # once, before there are several processes that would
    return side_by_side(unnoticed, list(weakened()))


def unnoticed(cases: Sequence[tuple[str, str, dict[str, Any]]]) -> Result:
    questions = [_question(name, less) for _, name, less in cases]
    answers = zip(cases, questions, as_expected(questions), strict=True)
    failures = [
        f"{title}: none of {len(question.rows)} rows notices"
        for (title, *_), question, as_before in answers
        if as_before
    ]
    return Result(len(cases), tuple(failures))


def _question(name: str, less: dict[str, Any]) -> Question:
    kind = name.split(maxsplit=1)[0]
    rows = [
        row
        for row in table()
        if name.endswith(str(row.place)) and (kind == "key") == row.action.startswith("kms:")
    ]
    # Those that notice lie side by side in the table: in another order one comes up soon.
    random.Random(0).shuffle(rows)
    named = _with_opened({"full": FULL, name: less})
    return Question(named, [asked(row) for row in rows], [expected(row) for row in rows])


def sizes(_scale: Scale) -> Result:
    """One account or ten thousand: the same bytes, because none but the owner is named. And what
    IAM holds fits around 200 pipelines."""
    from proof.roles import MANY, outsized  # which asks this module's questions, too

    documents_of_iam, too_large = outsized()
    failures, notes = list(too_large), [f"{documents_of_iam} of IAM around {MANY} pipelines"]
    for place in PLACES:
        spec = spec_of(place)
        for kind, document in (
            ("bucket", bucket_policy(spec, key_arn(spec))),
            ("key", key_policy(spec)),
        ):
            text = json.dumps(document)
            given = READER_ACCOUNTS if place == NARROWED else ()
            named = set(re.findall(r"\b\d{12}\b", text))
            if place == PLACES[0]:
                notes.append(f"{kind} policy: {len(text)} bytes for 1 account and for 10,000")
            if len(text) > POLICY_BYTES[kind] or named - {TOOLS, *given}:
                failures.append(f"{kind} policy of {place}: {len(text)} bytes, names {named}")
    longest = longest_lists()
    for kind, document in (("bucket", bucket_policy(longest, key_arn(longest))),
                           ("key", key_policy(longest))):  # fmt: skip
        size = len(json.dumps(document))
        notes.append(f"{kind} policy: {size} bytes with readers narrowed as far as they can be")
        if size > POLICY_BYTES[kind]:
            failures.append(f"{kind} policy: {size} bytes with the longest lists of readers")
    return Result(2 * len(PLACES) + 2 + documents_of_iam, tuple(failures), tuple(notes))


# AWS CloudFormation User Guide, "Understand CloudFormation quotas": of a parameter's value.
PARAMETER_BYTES = 4096


def longest_lists() -> StoreSpec:
    """A store whose readers are narrowed by lists that leave a stack's parameters no room."""
    path = f"{ORGANIZATION}/r-root/ou-root-{'1' * 8}/ou-root-{'2' * 8}/*"
    plane = replace(
        spec_of(NARROWED).control_plane,
        reader_accounts=(MEMBER,) * (PARAMETER_BYTES // len(f"{MEMBER},")),
        reader_org_paths=(path,) * (PARAMETER_BYTES // len(f"{path},")),
    )
    return plane.spec(NARROWED[0])
