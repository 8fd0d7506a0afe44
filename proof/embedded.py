"""The same table, asked of the embedded AWS: the stores that the product makes there, real roles,
real signatures, real calls.

What the embedded AWS cannot be asked is left out, and counted by its reason.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from foothold.aws.clients import Clients
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.reconcile import Reconciler
from local.aws.embedded import FOREIGN, ORGANIZATION, PRODUCTION, Embedded
from proof import decisions
from proof.decisions import (
    FULL,
    MEMBER,
    OPENED,
    OTHER,
    READERS,
    THE_KEY,
    TOOLS,
    Decision,
    Principal,
    expected,
)
from proof.result import Result, Scale

REGION = "eu-west-1"
SAMPLE = 150
DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
# The calls of KMS that S3 makes for its caller, to read an object and to write one.
THROUGH_S3 = frozenset({"kms:Decrypt", "kms:GenerateDataKey"})
ARTIFACT = "p/builds/abc"
# Buckets that let everybody in: whether an object is read is then for its key alone to say.
OPEN_BUCKET = "{}-open"

# The documents in use instead of those that the product has written, made from these: called
# with "bucket" or "key" and the document.
Change = Callable[[str, Any], Any]
ONLY_IN_THE_TABLE = (decisions.LISTED, decisions.UNLISTED)


def cross_checked(
    scale: Scale, change: Change | None = None, rows: Sequence[Decision] | None = None
) -> Result:
    """Ask an embedded AWS of its own for every row, and compare with what is expected.

    `rows` are those of the whole table if None, of which a sample is asked unless the scale is
    full.
    """
    rows = decisions.table() if rows is None else rows
    reasons = Counter(reason for row in rows if (reason := left_out(row)))
    asked = askable = [row for row in rows if not left_out(row)]
    if not scale.full and len(askable) > SAMPLE:
        asked = random.Random(scale.seed).sample(askable, SAMPLE)  # nosec B311  no secret
    with TemporaryDirectory(prefix="foothold-") as folder:
        aws = Embedded(Path(folder))
        aws.start()
        try:
            world = World(aws, change)
            failures = tuple(filter(None, map(world.wrong, asked)))
        finally:
            aws.stop()
    left = ", ".join(f"{reason} ({number:,})" for reason, number in reasons.most_common())
    note = (
        f"{len(asked):,} of {len(askable):,} rows asked that can be; "
        f"{reasons.total():,} cannot: {left}"
    )
    return Result(len(asked), failures, (note,))


def left_out(row: Decision) -> str | None:
    """Why the embedded AWS cannot be asked this row; None where it can."""
    if row.place[0] != REGION:
        return "another partition"
    if row.place == decisions.NARROWED:
        return "readers narrowed to a unit and to accounts"
    return _left_out_here(row)


def _left_out_here(row: Decision) -> str | None:
    if row.principal is decisions.SERVICE:
        return "an AWS service as the principal"
    if row.action.startswith("kms:"):
        if row.via in ("s3 elsewhere", "lambda here"):
            return f"KMS called by {row.via.replace(' here', '')}"
        if row.via and row.action not in THROUGH_S3:
            return "KMS called by S3 where no S3 call makes it do so"
        if not row.principal.account:
            return "KMS called without a signature"
    return None


class World:
    """The roles of the table's principals, and the stores that they are let into or kept off."""

    def __init__(self, aws: Embedded, change: Change | None) -> None:
        self.aws = aws
        self._change = change
        self._stores: dict[tuple[Any, ...], Store] = {}
        self._clients: dict[tuple[Principal, str], Any] = {}
        # What a request says beside what its call sends.
        self._headers: dict[str, str] = {}
        # An account that asks for its organisation has one of its own from then on.
        aws.session(OTHER).client("organizations").describe_organization()
        for who in decisions.PRINCIPALS:
            if who.account and who.account not in ONLY_IN_THE_TABLE:
                self._make_role(located(who))

    def wrong(self, row: Decision) -> str | None:
        """What is wrong with the answer that this row gets; None where nothing is."""
        store = self._store(row)
        service = "kms" if row.action.startswith("kms:") and not row.via else "s3"
        client = self._client(row.principal, service)
        self._headers = transport(row)
        try:
            answer = call(row, store, client)
        except ClientError as refused:
            error = refused.response["Error"]
            if error["Code"] not in DENIED:
                return f"{row}: {refused}"
            if row.via and row.action not in error["Message"]:
                return f"{row}: refused before the key was asked: {refused}"
            allowed = False
        else:
            store.restore(row.action, answer)
            allowed = True
        return None if allowed == expected(row) else f"{row}: {'allowed' if allowed else 'denied'}"

    def _make_role(self, who: Principal) -> None:
        iam = self.aws.session(who.account).client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{who.account}:root"},
            "Action": "sts:AssumeRole",
        }
        # Who may do nothing with the store may reach what stands under its key elsewhere, so
        # that the key has to refuse it.
        elsewhere = {
            "Effect": "Allow",
            "Action": "s3:*",
            "Resource": f"arn:aws:s3:::{OPEN_BUCKET.format('*')}/*",
        }
        iam.create_role(RoleName=who.name, AssumeRolePolicyDocument=document(trust))
        iam.put_role_policy(
            RoleName=who.name,
            PolicyName="permissions",
            PolicyDocument=json.dumps(FULL) if who.permitted else document(elsewhere),
        )

    def _client(self, who: Principal, service: str) -> Any:
        if (who, service) not in self._clients:
            config = Config(retries={"total_max_attempts": 1})
            session: Any  # the stubs know no client by a name that is a variable
            if who.account:
                session = self.aws.role_session(located(who).arn("aws"), REGION)
            else:
                session = self.aws.session(region=REGION)
                config = config.merge(Config(signature_version=UNSIGNED))
            client = session.client(service, config=config)
            client.meta.events.register(f"before-sign.{service}", self._add_headers)
            self._clients[who, service] = client
        return self._clients[who, service]

    def _add_headers(self, request: AWSRequest, **_: object) -> None:
        for name, value in self._headers.items():
            request.headers[name] = value

    def _store(self, row: Decision) -> "Store":
        """The store that this row is about. Only an empty bucket can be deleted."""
        known_by = ids, opened, empty = (
            organizations(row),
            row.opened,
            row.action == "s3:DeleteBucket",
        )
        if known_by not in self._stores:
            prefix = f"store{len(self._stores)}"
            self._stores[known_by] = Store(
                self.aws, prefix, ids, opened=opened, empty=empty, change=self._change
            )
        return self._stores[known_by]


def located(who: Principal) -> Principal:
    """This principal in an account that the embedded AWS has for it."""
    if who.account == MEMBER and not who.permitted:
        return replace(who, account=PRODUCTION)  # MEMBER has a role of that name already
    if who.account == OTHER and who.organization is None:
        return replace(who, account=FOREIGN)
    return who


def organizations(row: Decision) -> tuple[str, ...]:
    """The organisations that the store is configured with. An account keeps its organisation
    here, so that where the two differ, it is the store that is configured with another."""
    if not row.place[1]:
        return ()
    who = row.principal
    mistyped = who.account == TOOLS and who.organization != decisions.ORGANIZATION
    return (decisions.ANOTHER_ORGANIZATION if mistyped else ORGANIZATION,)


class Store:
    """A store made by the product, with everything that a call on it needs.

    `opened` and `empty` say whether somebody has let everybody read, and whether it has no
    objects.
    """

    def __init__(
        self,
        aws: Embedded,
        prefix: str,
        organization_ids: tuple[str, ...],
        *,
        opened: bool,
        empty: bool,
        change: Change | None,
    ) -> None:
        self._owner = aws.session(TOOLS, REGION)
        self.s3: Any = self._owner.client("s3")
        self.kms: Any = self._owner.client("kms")
        self._opened, self._empty, self._change = opened, empty, change
        self._plane = ControlPlane(
            account=TOOLS,
            home_region=REGION,
            stack=prefix,
            prefix=prefix,
            parameter_root=f"/{prefix}",
            organization_ids=organization_ids,
            reader_roles=READERS,
        )
        self.spec = self._plane.spec(REGION)
        self.bucket = self.spec.bucket
        self._make()

    def _make(self) -> None:
        clients = Clients(self._owner)
        (outcome,) = Reconciler(
            self._plane,
            KmsKeys(clients),
            S3Buckets(clients),
            SsmParameters(clients),
            AccountRegions(clients),
            clock=time.time,
        ).reconcile([REGION])
        if outcome.error or outcome.store is None:
            raise RuntimeError(f"the product makes no store: {outcome.error}")
        self.key = outcome.store.key_arn
        if self._opened or self._change:
            self._weaken()
        if not self._empty:
            self._put_artifact()

    @property
    def _bucket_policy(self) -> Any:
        return json.loads(self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"])

    @property
    def _key_policy(self) -> Any:
        return json.loads(self.kms.get_key_policy(KeyId=self.key, PolicyName="default")["Policy"])

    def _weaken(self) -> None:
        bucket, key = self._bucket_policy, self._key_policy
        if self._change:
            bucket, key = self._change("bucket", bucket), self._change("key", key)
        if self._opened:
            bucket["Statement"].append(OPENED | {"Resource": f"{self.spec.bucket_arn}/*"})
        # The block would refuse a policy that lets everybody in.
        self.s3.delete_public_access_block(Bucket=self.bucket)
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(bucket))
        self.kms.put_key_policy(KeyId=self.key, PolicyName="default", Policy=json.dumps(key))

    def _put_artifact(self) -> None:
        # Under no key of KMS, so that the bucket's policy alone decides who reads it.
        answer = self.s3.put_object(
            Bucket=self.bucket, Key=ARTIFACT, Body=b"x", ServerSideEncryption="AES256"
        )
        self.version = answer["VersionId"]

    @cached_property
    def policies(self) -> dict[str, str]:
        """Both policies, as they are put once more by whoever may."""
        return {"bucket": json.dumps(self._bucket_policy), "key": json.dumps(self._key_policy)}

    @cached_property
    def ciphertext(self) -> bytes:
        return bytes(self.kms.encrypt(KeyId=self.key, Plaintext=b"x")["CiphertextBlob"])

    @cached_property
    def another_key(self) -> str:
        """A key of the same account, which everybody may use."""
        everybody = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
        return str(self.kms.create_key(Policy=document(everybody))["KeyMetadata"]["Arn"])

    @cached_property
    def open_bucket(self) -> str:
        """A bucket that lets everybody in, whose objects stand under the store's key."""
        bucket = OPEN_BUCKET.format(self._plane.prefix)
        everybody = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key}
        self.s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        self.s3.delete_public_access_block(Bucket=bucket)
        self.s3.put_bucket_policy(Bucket=bucket, Policy=document(everybody))
        self.s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
            },
        )
        self.s3.put_object(Bucket=bucket, Key=ARTIFACT, Body=b"x")
        return bucket

    def restore(self, action: str, answer: Any) -> None:
        """Undo what this action has done, having been answered so: the next row meets the store
        as this one did."""
        match action:
            case "s3:DeleteBucket":
                self._make()
            case "s3:DeleteObject" | "s3:DeleteObjectVersion" | "s3:PutObject":
                self._put_artifact()
            case "kms:ScheduleKeyDeletion":
                self.kms.cancel_key_deletion(KeyId=self.key)
                self.kms.enable_key(KeyId=self.key)
            case "kms:CreateGrant":
                self.kms.revoke_grant(KeyId=self.key, GrantId=answer["GrantId"])
            case _:
                pass


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def transport(row: Decision) -> dict[str, str]:
    """The headers by which the embedded AWS knows over what a request came."""
    secure, version = row.tls
    return {"x-amzn-tls-version": str(version)} if secure else {"x-forwarded-proto": "http"}


def encryption(row: Decision, store: Store) -> dict[str, Any]:
    """The arguments of PutObject that send the row's headers."""
    algorithm, key, customers = row.headers
    sent: dict[str, Any] = {}
    if algorithm:
        sent["ServerSideEncryption"] = algorithm
    if key:
        sent["SSEKMSKeyId"] = store.key if key == THE_KEY else store.another_key
    if customers:
        sent |= {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    return sent


def call(row: Decision, store: Store, client: Any) -> Any:
    """Make the row's call; return its answer. Raises ClientError where it is refused."""
    bucket = store.open_bucket if row.via else store.bucket
    in_bucket, in_key = {"Bucket": bucket}, {"KeyId": store.key}
    artifact = {"Bucket": bucket, "Key": ARTIFACT}
    policy = store.policies
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "s3:ListBucket": ("list_objects_v2", in_bucket),
        "s3:GetBucketLocation": ("get_bucket_location", in_bucket),
        "s3:GetBucketPolicy": ("get_bucket_policy", in_bucket),
        "s3:GetBucketVersioning": ("get_bucket_versioning", in_bucket),
        "s3:PutBucketPolicy": ("put_bucket_policy", in_bucket | {"Policy": policy["bucket"]}),
        "s3:DeleteBucket": ("delete_bucket", in_bucket),
        "s3:GetObject": ("get_object", artifact),
        "s3:DeleteObject": ("delete_object", artifact),
        "s3:PutObject": ("put_object", artifact | {"Body": b"x"} | encryption(row, store)),
        "kms:Decrypt": ("decrypt", in_key | {"CiphertextBlob": store.ciphertext}),
        "kms:DescribeKey": ("describe_key", in_key),
        "kms:GenerateDataKey": ("generate_data_key", in_key | {"KeySpec": "AES_256"}),
        "kms:Encrypt": ("encrypt", in_key | {"Plaintext": b"x"}),
        "kms:PutKeyPolicy": (
            "put_key_policy",
            in_key | {"PolicyName": "default", "Policy": policy["key"]},
        ),
        "kms:ScheduleKeyDeletion": ("schedule_key_deletion", in_key | {"PendingWindowInDays": 7}),
        "kms:CreateGrant": (
            "create_grant",
            in_key | {"GranteePrincipal": f"arn:aws:iam::{TOOLS}:role/control-plane",
                      "Operations": ["Decrypt"]},
        ),
    }  # fmt: skip
    if row.action.endswith("ObjectVersion"):
        name, arguments = calls[row.action.removesuffix("Version")]
        arguments = arguments | {"VersionId": store.version}
    elif row.via:
        name, arguments = calls["s3:GetObject" if row.action == "kms:Decrypt" else "s3:PutObject"]
    else:
        name, arguments = calls[row.action]
    return getattr(client, name)(**arguments)
