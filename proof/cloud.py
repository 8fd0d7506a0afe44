"""AWS in memory, under botocore: every client of this process talks to the cloud in use.

The code that is proven is the code that runs on AWS, its gateways and boto3 clients included:
only the network is missing. Each call goes through `Cloud.meet`, one function that may let it
pass, refuse it, lose its reply, repeat it, hold it back or kill the process. Faults so stand for
what is left when the SDK's own retries have given up.

What the services answer is written down from their API references and user guides, by hand and
apart from the product, and stricter than the emulators: owners, regions, key states, policy
sizes, the lockout check, pages of ten.
"""

import copy
import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import dropwhile, islice
from typing import Any, ClassVar, cast

import botocore.handlers
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.response import StreamingBody

from foothold.partitions import WITHOUT_ACCOUNT_REGIONAL_NAMESPACE, partition_of
from foothold.pipelines.declaration import stores_digest
from foothold.stores.register import ArtifactStore

HOME = "eu-central-1"
ACCOUNT = "111111111111"
STRANGER = "999999999999"
ACCESS_KEY = "proof"  # of the functions' own roles
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/foothold-reconcile/proof"
STACK_TAG = "foothold:stack"
STACK = "foothold"

BUCKET_POLICY_BYTES = 20 * 1024  # Amazon S3 User Guide, "Bucket policies"
KEY_POLICY_BYTES = 32 * 1024  # AWS KMS API Reference, "PutKeyPolicy"
PARAMETER_BYTES = 4 * 1024  # SSM API Reference, "PutParameter"
LONGEST_WINDOW = 30  # days; AWS KMS API Reference, "ScheduleKeyDeletion"
DELETED = "DELETE_COMPLETE"
READS = ("Get", "List", "Head", "Describe", "Simulate", "AssumeRole")
PAGE = 10  # SSM API Reference, "GetParametersByPath", "GetParameters"

REGIONAL = frozenset({"kms", "resourcegroupstaggingapi", "s3", "ssm"})

Json = dict[str, Any]


class Refused(Exception):  # noqa: N818  it is an answer, not a mistake
    """What a service answers instead of a result: an error code with its HTTP status."""

    def __init__(self, code: str, status: int = 400, message: str = "refused by the model") -> None:
        super().__init__(code)
        self.code, self.status, self.message = code, status, message


@dataclass(frozen=True)
class Call:
    """One API call, as a client made it. `borrowed`: with other credentials than the function's
    own, such as a job's. `within` names the function that was invoked to make it, if one was.
    `account`: whose role was assumed to make it; empty for the account of the cloud itself."""

    service: str
    operation: str
    region: str
    params: Mapping[str, Any]
    owner_can_be_named: bool = False
    borrowed: bool = False
    within: str | None = None
    account: str = ""

    def __str__(self) -> str:
        return f"{self.service}:{self.operation} in {self.region}"

    @property
    def writes(self) -> bool:
        return not self.operation.startswith(READS)


@dataclass
class Bucket:
    owner: str
    region: str
    settings: Json = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, list[Json]] = field(default_factory=dict)
    grants: list[Json] = field(default_factory=list)

    def fill(self, number: int) -> None:
        """So many versions of one object, and no others."""
        self.objects = {"build": [{"Body": b"", "VersionId": f"v{n}"} for n in range(number)]}

    @property
    def version_count(self) -> int:
        return sum(map(len, self.objects.values()))


@dataclass
class Key:
    arn: str
    owner: str
    created: int  # by number of calls
    born: float  # in seconds since the epoch
    policy: Json
    tags: dict[str, str]
    state: str = "Enabled"
    rotation: bool = False
    window: int | None = None
    spec: str = "SYMMETRIC_DEFAULT"  # or of another kind that encrypts


Perform = Callable[[], Json]
Meet = Callable[[Call, Perform], Json]


class Cloud:
    """One account's services in every region, and the strangers around it.

    `statuses`: opt-in status by region name; `account`: its twelve digits. `clock` is in seconds
    since the epoch. `meet` sees every call and the function that performs it. `tag_index_lag` is
    how many calls the tagging API is behind.
    """

    current: ClassVar["Cloud | None"] = None
    # The functions that can be invoked, by name; and which one is at work, where one was.
    functions: ClassVar[dict[str, Callable[[Json], Json]]] = {}
    invoked: ClassVar[ContextVar[str | None]] = ContextVar("invoked", default=None)

    def __init__(self, statuses: Mapping[str, str] | None = None, account: str = ACCOUNT) -> None:
        self.account = account
        self.statuses = dict(statuses or STATUSES)
        self.clock = 1_800_000_000.0
        self.meet: Meet = lambda _call, perform: perform()
        self.tag_index_lag = 0
        self.calls: list[Call] = []
        self.asked_from = 0  # the number of the first call of the request that is under way
        self.performed = 0
        self.buckets: dict[str, Bucket] = {}
        self.keys: dict[str, Key] = {}
        self.keys_made = 0
        self.aliases: dict[tuple[str, str], str] = {}
        self.parameters: dict[tuple[str, str], tuple[str, str]] = {}
        self.versions: dict[tuple[str, str], tuple[int, float]] = {}  # and when it was written
        self.parameter_tags: dict[tuple[str, str], dict[str, str]] = {}
        self.stacks: dict[str, Json] = {}
        self.pipelines: dict[str, str] = {}  # the bucket that each of them uses
        self.alarm = "OK"  # the state of every alarm
        # What target accounts have to be executed, by region and stack.
        self.change_sets: dict[tuple[str, str], Json] = {}
        self.following: set[str] = set()  # those of them that follow the stores
        self.bucket_quota = 10_000
        self.versions_a_page = 1000  # at most
        self.denied: set[str] = set()  # what the function's own role may not do
        self.events: list[Json] = []
        self.answers: list[Json] = []
        self.job_answers: list[tuple[str, Json]] = []
        self.written_to_strangers: list[str] = []
        self.answer_bodies: list[bytes] = []
        self.signing_jobs: dict[str, str] = {}  # the key that each of them wrote
        self._caller = account
        self._lock = threading.RLock()

    def copy(self) -> "Cloud":
        """The same world, to go another way from here; nobody watches its calls yet."""
        other = Cloud(self.statuses, self.account)
        other.clock, other.tag_index_lag = self.clock, self.tag_index_lag
        other.performed = self.performed
        # What is written is never changed in its place, but another put there.
        other.buckets = {
            name: replace(
                bucket,
                settings=dict(bucket.settings),
                tags=dict(bucket.tags),
                objects={key: list(versions) for key, versions in bucket.objects.items()},
                grants=list(bucket.grants),
            )
            for name, bucket in self.buckets.items()
        }
        other.keys = {arn: replace(key, tags=dict(key.tags)) for arn, key in self.keys.items()}
        other.keys_made = self.keys_made
        other.aliases = dict(self.aliases)
        other.parameters = dict(self.parameters)
        other.versions = dict(self.versions)
        other.parameter_tags = copy.deepcopy(self.parameter_tags)
        other.stacks = copy.deepcopy(self.stacks)
        other.change_sets = copy.deepcopy(self.change_sets)
        other.pipelines, other.following = dict(self.pipelines), set(self.following)
        other.versions_a_page = self.versions_a_page
        other.bucket_quota, other.denied = self.bucket_quota, set(self.denied)
        other.alarm = self.alarm
        other.events = list(self.events)
        return other

    @contextmanager
    def in_use(self) -> Iterator["Cloud"]:
        before, Cloud.current = Cloud.current, self
        try:
            yield self
        finally:
            Cloud.current = before

    def receive(self, call: Call) -> Json:
        """What the service returns. Raises Refused, or whatever `meet` has in mind."""
        self.calls.append(call)
        return self.meet(call, lambda: self.perform(call))

    def perform(self, call: Call) -> Json:
        if call.service == "lambda":
            return self._invoke(call.params)
        with self._lock:
            self.performed += 1
            self._caller = call.account or self.account
            usable = self.statuses.get(call.region) in ("ENABLED", "ENABLED_BY_DEFAULT")
            if call.service in REGIONAL and not usable:
                raise Refused("UnrecognizedClientException", 400, f"no region {call.region}")
            name = f"_{call.service}_{call.operation}".replace("-", "_")
            operation = getattr(self, name, None)
            if operation is None:
                # A model that answered what it does not know would prove nothing.
                raise NotImplementedError(f"the cloud in proof/cloud.py knows no {call}")
            result: Json = operation(call.region, call.params)
            return result

    # --- ec2, account, events, sts ----------------------------------------------------------------

    def _ec2_DescribeRegions(self, _region: str, asked: Mapping[str, Any]) -> Json:
        shown = {"ENABLED_BY_DEFAULT": "opt-in-not-required", "ENABLED": "opted-in"}
        regions = [
            {"RegionName": name, "OptInStatus": shown.get(status, "not-opted-in")}
            for name, status in self.statuses.items()
            if asked.get("AllRegions") or status in shown
        ]
        return {"Regions": regions}

    def _account_GetRegionOptStatus(self, _region: str, asked: Mapping[str, Any]) -> Json:
        name = asked["RegionName"]
        if name not in self.statuses:
            raise Refused("ValidationException")
        return {"RegionName": name, "RegionOptStatus": self.statuses[name]}

    def _events_PutEvents(self, region: str, asked: Mapping[str, Any]) -> Json:
        self.events += [{"region": region, **entry} for entry in asked["Entries"]]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in asked["Entries"]]}

    def _sts_GetCallerIdentity(self, _region: str, _asked: Mapping[str, Any]) -> Json:
        return {
            "Account": self.account,
            "Arn": CALLER.replace(ACCOUNT, self.account),
            "UserId": "A",
        }

    def _sts_AssumeRole(self, _region: str, asked: Mapping[str, Any]) -> Json:
        access_key = f"lent.{asked['RoleArn'].split(':')[4]}"
        lent = {"AccessKeyId": access_key, "SecretAccessKey": "canary-lent"}
        lent["SessionToken"] = "canary"
        arn = asked["RoleArn"].replace(":role/", ":assumed-role/")
        return {"Credentials": lent, "AssumedRoleUser": {"Arn": arn, "AssumedRoleId": "A"}}

    def _invoke(self, asked: Mapping[str, Any]) -> Json:
        """The function runs here, and its calls take their own turns among those of others."""
        name = asked["FunctionName"]
        if name not in self.functions:
            raise Refused("ResourceNotFoundException", 404)
        before = Cloud.invoked.set(name)
        try:
            answer = self.functions[name](json.loads(asked["Payload"]))
        except Exception as error:
            # Lambda would say that it failed, and the caller would make a refusal of that.
            raise AssertionError(f"{name}: unhandled {type(error).__name__}") from error
        finally:
            Cloud.invoked.reset(before)
        body = json.dumps(answer).encode()
        return {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(body), len(body))}

    # --- the answer to a custom resource --------------------------------------------------------

    def _cloudformation_Answer(self, _region: str, asked: Mapping[str, Any]) -> Json:
        self.answer_bodies.append(asked["Body"])
        self.answers.append(json.loads(asked["Body"]))
        return {}

    # --- SSM ------------------------------------------------------------------------------------

    def _ssm_GetParameters(self, region: str, asked: Mapping[str, Any]) -> Json:
        names = asked["Names"]
        if not 1 <= len(names) <= PAGE:
            raise Refused("ValidationException")
        found = [n for n in dict.fromkeys(names) if (region, n) in self.parameters]
        return {
            "Parameters": [self._parameter(region, name) for name in found],
            "InvalidParameters": [name for name in names if name not in found],
        }

    def _ssm_GetParameter(self, region: str, asked: Mapping[str, Any]) -> Json:
        if (region, asked["Name"]) not in self.parameters:
            raise Refused("ParameterNotFound")
        return {"Parameter": self._parameter(region, asked["Name"])}

    def add_parameter(self, region: str, name: str, value: str) -> None:
        """As somebody writes it whose calls are not watched."""
        self._ssm_PutParameter(region, {"Name": name, "Value": value, "Overwrite": True})

    def _parameter(self, region: str, name: str) -> Json:
        value, kind = self.parameters[region, name]
        version, at = self.versions.get((region, name), (1, self.clock))
        changed = datetime.fromtimestamp(at, UTC)
        told = {"Name": name, "Value": value, "Type": kind, "Version": version}
        return {**told, "LastModifiedDate": changed}

    def _ssm_GetParametersByPath(self, region: str, asked: Mapping[str, Any]) -> Json:
        path = asked["Path"].rstrip("/")
        names = sorted(
            name
            for where, name in self.parameters
            if where == region
            and name.startswith(f"{path}/")
            and (asked.get("Recursive") or "/" not in name.removeprefix(f"{path}/"))
        )
        size = asked.get("MaxResults", PAGE)
        if not 1 <= size <= PAGE:
            raise Refused("ValidationException")
        first = int(asked.get("NextToken") or 0)
        page: Json = {
            "Parameters": [self._parameter(region, n) for n in names[first : first + size]]
        }
        if first + size < len(names):
            page["NextToken"] = str(first + size)
        return page

    def _ssm_PutParameter(self, region: str, asked: Mapping[str, Any]) -> Json:
        name, value = asked["Name"], asked["Value"]
        kind = asked.get("Type") or self.parameters.get((region, name), ("", "String"))[1]
        if not value or len(value.encode()) > PARAMETER_BYTES or "{{" in value:
            raise Refused("ValidationException")
        if (region, name) in self.parameters and not asked.get("Overwrite"):
            raise Refused("ParameterAlreadyExists")
        if "Tags" in asked and asked.get("Overwrite"):
            raise Refused("ValidationException")
        there = (region, name) in self.parameters
        version = self.versions.get((region, name), (1, 0.0))[0] + 1 if there else 1
        self.versions[region, name] = (version, self.clock)
        if not there:
            self.parameter_tags[region, name] = _pairs(asked.get("Tags", []))
        self.parameters[region, name] = (value, kind)
        return {"Version": version, "Tier": "Standard"}

    def _ssm_AddTagsToResource(self, region: str, asked: Mapping[str, Any]) -> Json:
        name = (region, asked["ResourceId"])
        if name not in self.parameters or asked["ResourceType"] != "Parameter":
            raise Refused("InvalidResourceId")
        self.parameter_tags.setdefault(name, {}).update(_pairs(asked["Tags"]))
        return {}

    def _ssm_DeleteParameters(self, region: str, asked: Mapping[str, Any]) -> Json:
        if not 1 <= len(asked["Names"]) <= PAGE:
            raise Refused("ValidationException")
        gone = [n for n in asked["Names"] if self.parameters.pop((region, n), None)]
        return {
            "DeletedParameters": gone,
            "InvalidParameters": [n for n in asked["Names"] if n not in gone],
        }

    def _ssm_DeleteParameter(self, region: str, asked: Mapping[str, Any]) -> Json:
        if self.parameters.pop((region, asked["Name"]), None) is None:
            raise Refused("ParameterNotFound")
        return {}

    # --- KMS (key states: AWS KMS Developer Guide, "Key states of AWS KMS keys") ----------------

    def add_key(
        self, region: str, tags: Mapping[str, str], policy: Json, owner: str | None = None
    ) -> Key:
        number = f"{self.keys_made:012d}"
        self.keys_made += 1
        owner = owner or self.account
        arn = f"arn:{partition_of(region).name}:kms:{region}:{owner}:key/0000-{number}"
        born = self.clock + self.performed / 1000
        self.keys[arn] = key = Key(arn, owner, self.performed, born, policy, dict(tags))
        return key

    def end_key(self, arn: str) -> None:
        """The waiting period is over: the key goes, and its aliases with it (AWS KMS Developer
        Guide, "Delete an AWS KMS key")."""
        del self.keys[arn]
        self.aliases = {name: at for name, at in self.aliases.items() if at != arn}

    def _key(self, region: str, name: str, *states: str) -> Key:
        """The key that an ARN, an id or an alias means, if it is in one of these states."""
        if name.startswith("alias/"):
            name = self.aliases.get((region, name), "")
        key = self.keys.get(name) or next(
            (key for arn, key in self.keys.items() if arn.endswith(f":key/{name}")), None
        )
        if key is None or key.arn.split(":")[3] != region:
            raise Refused("NotFoundException")
        if states and key.state not in states:
            code = "DisabledException" if key.state == "Disabled" else "KMSInvalidStateException"
            raise Refused(code)
        return key

    def _metadata(self, key: Key) -> Json:
        created = datetime.fromtimestamp(key.born, UTC)
        facts: Json = {
            "Arn": key.arn,
            "KeyId": key.arn.split("/")[1],
            "AWSAccountId": key.owner,
            "KeyState": key.state,
            "Enabled": key.state == "Enabled",
            "CreationDate": created,
            "KeyManager": "CUSTOMER",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeySpec": key.spec,
            "Origin": "AWS_KMS",
            "MultiRegion": False,
        }
        return {"KeyMetadata": facts}

    def _kms_DescribeKey(self, region: str, asked: Mapping[str, Any]) -> Json:
        return self._metadata(self._key(region, asked["KeyId"]))

    def _kms_CreateKey(self, region: str, asked: Mapping[str, Any]) -> Json:
        tags = {tag["TagKey"]: tag["TagValue"] for tag in asked.get("Tags", [])}
        return self._metadata(self.add_key(region, tags, self._key_policy(asked["Policy"])))

    def _key_policy(self, text: str) -> Json:
        if len(text.encode()) > KEY_POLICY_BYTES:
            raise Refused("LimitExceededException")
        policy: Json = json.loads(text)
        root = re.compile(rf"arn:[a-z-]+:iam::{self.account}:root")
        for statement in policy["Statement"]:
            principals = statement["Principal"]
            names = principals.get("AWS", []) if isinstance(principals, Mapping) else principals
            named = [names] if isinstance(names, str) else names
            may = statement["Action"] in ("kms:*", "kms:PutKeyPolicy")
            if statement["Effect"] == "Allow" and may and any(map(root.fullmatch, named)):
                return policy
        # The policy lockout safety check.
        raise Refused("MalformedPolicyDocumentException")

    def _kms_PutKeyPolicy(self, region: str, asked: Mapping[str, Any]) -> Json:
        self._key(region, asked["KeyId"]).policy = self._key_policy(asked["Policy"])
        return {}

    def _kms_GetKeyPolicy(self, region: str, asked: Mapping[str, Any]) -> Json:
        return {"Policy": json.dumps(self._key(region, asked["KeyId"]).policy)}

    def _kms_GetKeyRotationStatus(self, region: str, asked: Mapping[str, Any]) -> Json:
        key = self._key(region, asked["KeyId"])
        return {"KeyRotationEnabled": key.rotation and key.state != "PendingDeletion"}

    def _kms_EnableKeyRotation(self, region: str, asked: Mapping[str, Any]) -> Json:
        self._key(region, asked["KeyId"], "Enabled").rotation = True
        return {}

    def _kms_ListResourceTags(self, region: str, asked: Mapping[str, Any]) -> Json:
        tags = self._key(region, asked["KeyId"]).tags
        return {"Tags": [{"TagKey": k, "TagValue": v} for k, v in tags.items()], "Truncated": False}

    def _kms_TagResource(self, region: str, asked: Mapping[str, Any]) -> Json:
        key = self._key(region, asked["KeyId"], "Enabled", "Disabled")
        key.tags |= {tag["TagKey"]: tag["TagValue"] for tag in asked["Tags"]}
        return {}

    def _kms_UntagResource(self, region: str, asked: Mapping[str, Any]) -> Json:
        key = self._key(region, asked["KeyId"], "Enabled", "Disabled")
        for name in asked["TagKeys"]:
            key.tags.pop(name, None)
        return {}

    def _kms_EnableKey(self, region: str, asked: Mapping[str, Any]) -> Json:
        self._key(region, asked["KeyId"], "Enabled", "Disabled").state = "Enabled"
        return {}

    def _kms_DisableKey(self, region: str, asked: Mapping[str, Any]) -> Json:
        self._key(region, asked["KeyId"], "Enabled", "Disabled").state = "Disabled"
        return {}

    def _kms_ScheduleKeyDeletion(self, region: str, asked: Mapping[str, Any]) -> Json:
        key = self._key(region, asked["KeyId"])
        if key.state == "PendingDeletion":
            raise Refused("KMSInvalidStateException")
        key.state, key.window = "PendingDeletion", asked.get("PendingWindowInDays", 30)
        return {"KeyId": key.arn, "KeyState": key.state}

    def _kms_CancelKeyDeletion(self, region: str, asked: Mapping[str, Any]) -> Json:
        key = self._key(region, asked["KeyId"])
        if key.state != "PendingDeletion":
            raise Refused("KMSInvalidStateException")
        key.state, key.window = "Disabled", None
        return {"KeyId": key.arn}

    def _kms_CreateAlias(self, region: str, asked: Mapping[str, Any]) -> Json:
        key = self._key(region, asked["TargetKeyId"])
        if key.state == "PendingDeletion":
            raise Refused("KMSInvalidStateException")
        if (region, asked["AliasName"]) in self.aliases:
            raise Refused("AlreadyExistsException")
        self.aliases[region, asked["AliasName"]] = key.arn
        return {}

    def _kms_UpdateAlias(self, region: str, asked: Mapping[str, Any]) -> Json:
        key = self._key(region, asked["TargetKeyId"])
        if key.state == "PendingDeletion":
            raise Refused("KMSInvalidStateException")
        if (region, asked["AliasName"]) not in self.aliases:
            raise Refused("NotFoundException")
        self.aliases[region, asked["AliasName"]] = key.arn
        return {}

    def _kms_DeleteAlias(self, region: str, asked: Mapping[str, Any]) -> Json:
        if self.aliases.pop((region, asked["AliasName"]), None) is None:
            raise Refused("NotFoundException")
        return {}

    def _kms_ListAliases(self, region: str, asked: Mapping[str, Any]) -> Json:
        wanted = asked.get("KeyId")
        found = [
            {"AliasName": name, "TargetKeyId": arn.split("/")[1]}
            for (where, name), arn in self.aliases.items()
            if where == region and (not wanted or wanted in (arn, arn.split("/")[1]))
        ]
        return {"Aliases": found, "Truncated": False}

    def _kms_ListKeys(self, region: str, _asked: Mapping[str, Any]) -> Json:
        mine = [k for k in self.keys.values() if k.arn.split(":")[3] == region]
        keys = [{"KeyId": k.arn.split("/")[1], "KeyArn": k.arn} for k in mine]
        return {"Keys": keys, "Truncated": False}

    def _resourcegroupstaggingapi_GetResources(self, region: str, asked: Mapping[str, Any]) -> Json:
        found = [
            {
                "ResourceARN": key.arn,
                "Tags": [{"Key": name, "Value": value} for name, value in key.tags.items()],
            }
            for key in self.keys.values()
            if key.arn.split(":")[3] == region
            and key.owner == self.account
            and key.created + self.tag_index_lag <= self.performed
            and all(
                key.tags.get(wanted["Key"]) in wanted["Values"]
                for wanted in asked.get("TagFilters", [])
            )
        ]
        return {"ResourceTagMappingList": found, "PaginationToken": ""}

    # --- S3 ---------------------------------------------------------------------------------------

    def add_bucket(self, name: str, region: str, owner: str) -> Bucket:
        self.buckets[name] = bucket = Bucket(owner, region)
        return bucket

    def _bucket(self, region: str, asked: Mapping[str, Any], *, write: bool = False) -> Bucket:
        bucket = self.buckets.get(asked["Bucket"])
        if bucket is None:
            raise Refused("NoSuchBucket", 404)
        if bucket.owner != asked.get("ExpectedBucketOwner", bucket.owner):
            raise Refused("AccessDenied", 403)
        if bucket.region != region:
            raise Refused("PermanentRedirect", 301)
        if bucket.owner != self.account and write:
            # A stranger's bucket may well be open to us: that is what it is there for.
            self.written_to_strangers.append(asked["Bucket"])
        return bucket

    def _s3_CreateBucket(self, region: str, asked: Mapping[str, Any]) -> Json:
        name = asked["Bucket"]
        configuration = asked.get("CreateBucketConfiguration", {})
        if (region == "us-east-1") == ("LocationConstraint" in configuration):
            raise Refused("InvalidLocationConstraint")
        if configuration.get("LocationConstraint", region) != region:
            raise Refused("IllegalLocationConstraintException")
        reserved = name.endswith(f"-{self.account}-{region}-an")
        if (asked.get("BucketNamespace") == "account-regional") != reserved:
            raise Refused("InvalidBucketNamespace")
        if reserved and region in WITHOUT_ACCOUNT_REGIONAL_NAMESPACE:
            raise Refused("InvalidBucketNamespace")
        found = self.buckets.get(name)
        if found and found.owner != self.account:
            raise Refused("BucketAlreadyExists", 409)
        if found and region != "us-east-1":
            raise Refused("BucketAlreadyOwnedByYou", 409)
        if found is None:
            found = self.add_bucket(name, region, self.account)
            found.tags = {tag["Key"]: tag["Value"] for tag in configuration.get("Tags", [])}
            found.settings["ownership"] = asked.get("ObjectOwnership", "BucketOwnerEnforced")
            found.settings["encryption"] = copy.deepcopy(DEFAULT_ENCRYPTION)
            found.settings["public access"] = dict.fromkeys(PUBLIC_ACCESS, True)
        return {"Location": f"/{name}"}

    def _s3_HeadBucket(self, region: str, asked: Mapping[str, Any]) -> Json:
        try:
            return {"BucketRegion": self._bucket(region, asked).region}
        except Refused as refused:
            raise Refused(str(refused.status), refused.status) from None

    def _setting(
        self, region: str, asked: Mapping[str, Any], name: str, missing: str, shape: str
    ) -> Json:
        settings = self._bucket(region, asked).settings
        if name not in settings:
            raise Refused(missing, 404)
        return {shape: copy.deepcopy(settings[name])}

    def _set(self, region: str, asked: Mapping[str, Any], name: str, value: Any) -> Json:
        self._bucket(region, asked, write=True).settings[name] = copy.deepcopy(value)
        return {}

    def _s3_GetBucketPolicy(self, region: str, asked: Mapping[str, Any]) -> Json:
        return self._setting(region, asked, "policy", "NoSuchBucketPolicy", "Policy")

    def _s3_PutBucketPolicy(self, region: str, asked: Mapping[str, Any]) -> Json:
        text = asked["Policy"]
        if len(text.encode()) > BUCKET_POLICY_BYTES:
            raise Refused("PolicyTooLarge")
        bucket = self._bucket(region, asked)
        for statement in _statements(text):
            resources = statement["Resource"]
            named = [resources] if isinstance(resources, str) else resources
            if any(arn.split(":::")[1].split("/")[0] != asked["Bucket"] for arn in named):
                raise Refused("MalformedPolicy")
            blocked = bucket.settings.get("public access", {}).get("BlockPublicPolicy")
            if _is_public(statement) and blocked:
                raise Refused("AccessDenied", 403)
        return self._set(region, asked, "policy", text)

    def _s3_DeleteBucketPolicy(self, region: str, asked: Mapping[str, Any]) -> Json:
        self._bucket(region, asked, write=True).settings.pop("policy", None)
        return {}

    def _s3_GetPublicAccessBlock(self, region: str, asked: Mapping[str, Any]) -> Json:
        missing, shape = "NoSuchPublicAccessBlockConfiguration", "PublicAccessBlockConfiguration"
        return self._setting(region, asked, "public access", missing, shape)

    def _s3_PutPublicAccessBlock(self, region: str, asked: Mapping[str, Any]) -> Json:
        value = asked["PublicAccessBlockConfiguration"]
        return self._set(region, asked, "public access", value)

    def _s3_GetBucketOwnershipControls(self, region: str, asked: Mapping[str, Any]) -> Json:
        missing = "OwnershipControlsNotFoundError"
        found = self._setting(region, asked, "ownership", missing, "ownership")
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": found["ownership"]}]}}

    def _s3_PutBucketOwnershipControls(self, region: str, asked: Mapping[str, Any]) -> Json:
        rule = asked["OwnershipControls"]["Rules"][0]
        return self._set(region, asked, "ownership", rule["ObjectOwnership"])

    def _s3_GetBucketVersioning(self, region: str, asked: Mapping[str, Any]) -> Json:
        status = self._bucket(region, asked).settings.get("versioning")
        return {"Status": status} if status else {}

    def _s3_PutBucketVersioning(self, region: str, asked: Mapping[str, Any]) -> Json:
        status = asked["VersioningConfiguration"]["Status"]
        return self._set(region, asked, "versioning", status)

    def _s3_GetBucketEncryption(self, region: str, asked: Mapping[str, Any]) -> Json:
        missing = "ServerSideEncryptionConfigurationNotFoundError"
        found = self._setting(region, asked, "encryption", missing, "Rules")
        return {"ServerSideEncryptionConfiguration": found}

    def _s3_PutBucketEncryption(self, region: str, asked: Mapping[str, Any]) -> Json:
        rules = asked["ServerSideEncryptionConfiguration"]["Rules"]
        return self._set(region, asked, "encryption", rules)

    def _s3_GetBucketLifecycleConfiguration(self, region: str, asked: Mapping[str, Any]) -> Json:
        return self._setting(region, asked, "lifecycle", "NoSuchLifecycleConfiguration", "Rules")

    def _s3_PutBucketLifecycleConfiguration(self, region: str, asked: Mapping[str, Any]) -> Json:
        return self._set(region, asked, "lifecycle", asked["LifecycleConfiguration"]["Rules"])

    def _s3_GetBucketTagging(self, region: str, asked: Mapping[str, Any]) -> Json:
        tags = self._bucket(region, asked).tags
        if not tags:
            raise Refused("NoSuchTagSet", 404)
        return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}

    def _s3_PutBucketTagging(self, region: str, asked: Mapping[str, Any]) -> Json:
        bucket = self._bucket(region, asked, write=True)
        bucket.tags = {tag["Key"]: tag["Value"] for tag in asked["Tagging"]["TagSet"]}
        return {}

    def _s3_GetObjectLockConfiguration(self, region: str, asked: Mapping[str, Any]) -> Json:
        missing, shape = "ObjectLockConfigurationNotFoundError", "ObjectLockConfiguration"
        return self._setting(region, asked, "object lock", missing, shape)

    def _s3_GetBucketLocation(self, region: str, asked: Mapping[str, Any]) -> Json:
        found = self._bucket(region, asked).region
        return {"LocationConstraint": None if found == "us-east-1" else found}

    def _s3_ListObjectVersions(self, region: str, asked: Mapping[str, Any]) -> Json:
        """The next page begins with the first version that was not returned, and may be shorter
        than was asked for (Amazon S3 API Reference, "ListObjectVersions": NextKeyMarker,
        MaxKeys)."""
        first = (asked.get("KeyMarker", ""), asked.get("VersionIdMarker", ""))
        all_of_them: Iterator[tuple[str, Json]] = (
            (key, one)
            for key, versions in sorted(self._bucket(region, asked).objects.items())
            for one in versions
        )
        if first[0]:
            all_of_them = dropwhile(lambda at: (at[0], at[1]["VersionId"]) != first, all_of_them)
        size = min(asked.get("MaxKeys", 1000), self.versions_a_page)
        found = [
            {"Key": key, "VersionId": one["VersionId"], "Size": len(one["Body"])}
            for key, one in islice(all_of_them, size + 1)
        ]
        answer: Json = {"IsTruncated": len(found) > size}
        if found[:size]:
            answer["Versions"] = found[:size]
        for left in found[size:]:
            answer |= {"NextKeyMarker": left["Key"], "NextVersionIdMarker": left["VersionId"]}
        return answer

    def _s3_ListObjectsV2(self, region: str, asked: Mapping[str, Any]) -> Json:
        keys = [
            k
            for k in sorted(self._bucket(region, asked).objects)
            if k.startswith(asked.get("Prefix", ""))
        ]
        if "Delimiter" in asked:
            ends = (key.find(asked["Delimiter"], len(asked["Prefix"])) for key in keys)
            folders = {key[: end + 1] for key, end in zip(keys, ends, strict=True) if end >= 0}
            return {"CommonPrefixes": [{"Prefix": folder} for folder in sorted(folders)]}
        return {"Contents": [{"Key": key, "Size": 1} for key in keys], "KeyCount": len(keys)}

    def _s3_PutObject(self, region: str, asked: Mapping[str, Any]) -> Json:
        bucket = self._bucket(region, asked, write=True)
        body = asked.get("Body", b"")
        body = body if isinstance(body, bytes | bytearray) else body.read()
        there = bucket.objects.get(asked["Key"])
        if "IfNoneMatch" in asked and there:
            raise Refused("PreconditionFailed", 412)
        if "IfMatch" in asked and (not there or _etag(there[-1]["Body"]) != asked["IfMatch"]):
            raise Refused("PreconditionFailed", 412)
        versions = bucket.objects.setdefault(asked["Key"], [])
        if versions and asked.get("IfNoneMatch") == "*":
            raise Refused("PreconditionFailed", 412)
        key = asked.get("SSEKMSKeyId")
        if key and self._key(region, key).state != "Enabled":
            raise Refused("KMS.DisabledException")
        versions.append(
            {
                "Body": bytes(body),
                "VersionId": f"v{len(versions)}",
                "SSEKMSKeyId": key,
                "ChecksumSHA256": asked.get("ChecksumSHA256"),
            }
        )
        return {"ETag": _etag(bytes(body)), "VersionId": versions[-1]["VersionId"]}

    def _object(self, region: str, asked: Mapping[str, Any], missing: str) -> Json:
        versions = self._bucket(region, asked).objects.get(asked["Key"])
        if not versions:
            raise Refused(missing, 404)
        return versions[-1]

    def _s3_HeadObject(self, region: str, asked: Mapping[str, Any]) -> Json:
        try:
            one = self._object(region, asked, "404")
        except Refused as refused:
            raise Refused(str(refused.status), refused.status) from None
        told = {
            name: one[name] for name in ("SSEKMSKeyId", "ChecksumSHA256", "VersionId") if one[name]
        }
        return {"ContentLength": len(one["Body"]), "ETag": _etag(one["Body"]), **told}

    def _s3_GetObject(self, region: str, asked: Mapping[str, Any]) -> Json:
        body = self._object(region, asked, "NoSuchKey")["Body"]
        stream = StreamingBody(io.BytesIO(body), len(body))
        return {"Body": stream, "ContentLength": len(body), "ETag": _etag(body)}

    def _s3_DeleteObjects(self, region: str, asked: Mapping[str, Any]) -> Json:
        bucket = self._bucket(region, asked, write=True)
        going: dict[str, set[str | None]] = {}
        for one in asked["Delete"]["Objects"]:
            going.setdefault(one["Key"], set()).add(one.get("VersionId"))
        for key, ids in going.items():
            versions = bucket.objects.get(key, []) if None not in ids else []
            left = [one for one in versions if one["VersionId"] not in ids]
            if left:
                bucket.objects[key] = left
            else:
                bucket.objects.pop(key, None)
        if asked["Delete"].get("Quiet"):
            return {}
        return {"Deleted": [dict(one) for one in asked["Delete"]["Objects"]]}

    def _s3_ListMultipartUploads(self, region: str, asked: Mapping[str, Any]) -> Json:
        self._bucket(region, asked)
        return {"IsTruncated": False}

    def _s3_DeleteBucket(self, region: str, asked: Mapping[str, Any]) -> Json:
        if self._bucket(region, asked, write=True).objects:
            raise Refused("BucketNotEmpty", 409)
        del self.buckets[asked["Bucket"]]
        return {}

    def _s3_ListBuckets(self, _region: str, _asked: Mapping[str, Any]) -> Json:
        return {
            "Buckets": [{"Name": n} for n, b in self.buckets.items() if b.owner == self.account]
        }

    def _s3_GetBucketAcl(self, region: str, asked: Mapping[str, Any]) -> Json:
        self._bucket(region, asked)
        return {"Owner": {"ID": "us"}, "Grants": self.buckets[asked["Bucket"]].grants}

    def _s3_GetBucketPolicyStatus(self, region: str, asked: Mapping[str, Any]) -> Json:
        found = self._setting(region, asked, "policy", "NoSuchBucketPolicy", "Policy")
        public = any(map(_is_public, _statements(found["Policy"])))
        return {"PolicyStatus": {"IsPublic": public}}

    # --- What else the functions look at ----------------------------------------------------------

    def _service_quotas_GetServiceQuota(self, _region: str, _asked: Mapping[str, Any]) -> Json:
        return {"Quota": {"Value": float(self.bucket_quota)}}

    def _iam_SimulatePrincipalPolicy(self, _region: str, asked: Mapping[str, Any]) -> Json:
        """IAM API Reference, "EvaluationResult": allowed, explicitDeny or implicitDeny."""
        decisions = {n: "implicitDeny" if n in self.denied else "allowed"
                     for n in asked["ActionNames"]}  # fmt: skip
        return {
            "EvaluationResults": [
                {"EvalActionName": n, "EvalDecision": decision} for n, decision in decisions.items()
            ]
        }

    def _codepipeline_PutJobSuccessResult(self, _region: str, asked: Mapping[str, Any]) -> Json:
        return self._job_answered("success", asked)

    def _codepipeline_PutJobFailureResult(self, _region: str, asked: Mapping[str, Any]) -> Json:
        return self._job_answered("failure", asked)

    def _job_answered(self, verdict: str, asked: Mapping[str, Any]) -> Json:
        if any(given["jobId"] == asked["jobId"] for _, given in self.job_answers):
            raise Refused("InvalidJobStateException")
        self.job_answers.append((verdict, dict(asked)))
        return {}

    def _codepipeline_ListActionExecutions(self, _region: str, _asked: Mapping[str, Any]) -> Json:
        source = {"namespace": "SourceVariables", "actionTypeId": {"category": "Source"}}
        given = {"outputVariables": {"CommitId": "c0ffee", "BranchName": "main"}}
        return {"actionExecutionDetails": [{"input": source, "output": given}]}

    def _codepipeline_ListPipelines(self, _region: str, _asked: Mapping[str, Any]) -> Json:
        return {"pipelines": [{"name": name} for name in self.pipelines]}

    def _codepipeline_GetPipeline(self, region: str, asked: Mapping[str, Any]) -> Json:
        arn = f"arn:aws:codepipeline:{region}:{self.account}:{asked['name']}"
        stores = {"eu": {"type": "S3", "location": self.pipelines[asked["name"]]}}
        return {"pipeline": {"artifactStores": stores}, "metadata": {"pipelineArn": arn}}

    def _codepipeline_ListTagsForResource(self, _region: str, asked: Mapping[str, Any]) -> Json:
        follows = asked["resourceArn"].split(":")[5] in self.following
        return {"tags": [{"key": "foothold:follow", "value": "true"}] if follows else []}

    def _codebuild_BatchGetProjects(self, _region: str, asked: Mapping[str, Any]) -> Json:
        tags = [{"key": "foothold:project", "value": "orders"}]
        return {"projects": [{"name": name, "tags": tags} for name in asked["names"]]}

    # --- Signer and the Serverless Application Repository ---------------------------------------

    def _signer_StartSigningJob(self, region: str, asked: Mapping[str, Any]) -> Json:
        source, target = asked["source"]["s3"], asked["destination"]["s3"]
        place = {"Bucket": source["bucketName"], "Key": source["key"]}
        one = self._object(region, place, "ResourceNotFoundException")
        if one["VersionId"] != source["version"]:
            raise Refused("ValidationException")
        # Named by what it signs: a job that is repeated leaves the world as one does.
        named = f"{source['bucketName']}/{source['key']} for {asked['profileName']}"
        job = f"job-{hashlib.sha256(named.encode()).hexdigest()[:12]}"
        key = f"{target['prefix']}{job}.zip"
        signed = {**one, "Body": one["Body"] + b"signed", "ChecksumSHA256": None}
        self._bucket(region, {"Bucket": target["bucketName"]}).objects[key] = [signed]
        self.signing_jobs[job] = key
        return {"jobId": job}

    def _signer_DescribeSigningJob(self, _region: str, asked: Mapping[str, Any]) -> Json:
        key = self.signing_jobs[asked["jobId"]]
        return {"status": "Succeeded", "signedObject": {"s3": {"key": key}}}

    def _serverlessrepo_CreateCloudFormationTemplate(
        self, _region: str, asked: Mapping[str, Any]
    ) -> Json:
        made = {"ApplicationId": asked["ApplicationId"], "TemplateId": "t"}
        return {**made, "Status": "ACTIVE", "TemplateUrl": "https://example.com/template"}

    # --- CloudFormation -------------------------------------------------------------------------

    def add_stack(self, stack_id: str, template: str = "Transform: [FootholdPipeline]") -> None:
        """A stack that stands, in the region and the account that its ARN names."""
        name = stack_id.split("/")[1]
        self.stacks[name] = {"StackName": name, "StackId": stack_id, "Template": template}
        self.stacks[name]["StackStatus"] = "CREATE_COMPLETE"

    def delete_stack(self, stack_id: str, at: float) -> None:
        """Somebody deletes it, at this time in seconds since the epoch."""
        gone = {"StackStatus": DELETED, "DeletionTime": datetime.fromtimestamp(at, UTC)}
        self.stacks[stack_id.split("/")[1]] |= gone

    def _stacks(self, region: str) -> Iterator[Json]:
        """Those of the caller's account in a region; a stack without an ARN is at home."""
        for name, stack in self.stacks.items():
            home = f"arn:aws:cloudformation:{HOME}:{self.account}:stack/{name}/1"
            stack_id = stack.get("StackId", home)
            if stack_id.split(":")[3:5] == [region, self._caller]:
                yield {**stack, "StackId": stack_id}

    def _stack(self, region: str, name: str) -> Json:
        """By name or, for 90 days after it was deleted, by id (CloudFormation API Reference,
        "DescribeStacks")."""
        for stack in self._stacks(region):
            by_name = stack["StackName"] if stack["StackStatus"] != DELETED else None
            if name in (by_name, stack["StackId"]):
                return stack
        raise Refused("ValidationError", 400, f"Stack with id {name} does not exist")

    def _cloudformation_ListStacks(self, region: str, asked: Mapping[str, Any]) -> Json:
        listed = [
            {name: stack[name] for name in ("StackName", "StackId", "StackStatus")}
            for stack in self._stacks(region)
            if stack["StackStatus"] in asked.get("StackStatusFilter", [stack["StackStatus"]])
        ]
        return {"StackSummaries": listed}

    def _cloudformation_DescribeStacks(self, region: str, asked: Mapping[str, Any]) -> Json:
        if "StackName" in asked:
            found = [self._stack(region, asked["StackName"])]
        else:
            found = [one for one in self._stacks(region) if one["StackStatus"] != DELETED]
        return {"Stacks": copy.deepcopy(found)}

    def _cloudformation_DescribeChangeSet(self, region: str, asked: Mapping[str, Any]) -> Json:
        found = self.change_sets.get((region, asked["StackName"]))
        names = (found["ChangeSetName"], found["ChangeSetId"]) if found else ()
        if not found or asked["ChangeSetName"] not in names:
            raise Refused("ChangeSetNotFound", 404)
        return copy.deepcopy(found)

    def _cloudformation_CreateChangeSet(self, region: str, asked: Mapping[str, Any]) -> Json:
        name, stack = asked["ChangeSetName"], asked["StackName"]
        id_ = f"arn:aws:cloudformation:{region}:222222222222:changeSet/{name}/1"
        self.change_sets[region, stack] = {
            "ChangeSetName": name,
            "ChangeSetId": id_,
            "StackName": stack,
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
        }
        return {"Id": id_}

    def _cloudformation_ExecuteChangeSet(self, region: str, asked: Mapping[str, Any]) -> Json:
        self.change_sets[region, asked["StackName"]]["ExecutionStatus"] = "EXECUTE_IN_PROGRESS"
        return {}

    # --- What a wave is watched by ----------------------------------------------------------------

    def _cloudwatch_DescribeAlarms(self, _region: str, asked: Mapping[str, Any]) -> Json:
        state = {"StateValue": self.alarm, "StateUpdatedTimestamp": datetime.fromtimestamp(0, UTC)}
        return {"MetricAlarms": [{"AlarmName": name, **state} for name in asked["AlarmNames"]]}

    def _codebuild_StartBuild(self, _region: str, asked: Mapping[str, Any]) -> Json:
        return {"build": {"id": f"{asked['projectName']}:1"}}

    def _codebuild_BatchGetBuilds(self, _region: str, asked: Mapping[str, Any]) -> Json:
        return {"builds": [{"id": id_, "buildStatus": "SUCCEEDED"} for id_ in asked["ids"]]}

    def _cloudformation_GetTemplate(self, region: str, asked: Mapping[str, Any]) -> Json:
        if "ChangeSetName" in asked:
            return {"TemplateBody": "Resources: {}"}
        stack = self._stack(region, asked["StackName"])
        return {"TemplateBody": stack.get("Template", "Transform: [FootholdPipeline]")}

    def _cloudformation_UpdateStack(self, _region: str, asked: Mapping[str, Any]) -> Json:
        """Expands the template anew: the stack names the stores that are there now."""
        stack = self.stacks[asked["StackName"]]
        stack["Outputs"] = [{"OutputKey": "FootholdStores", "OutputValue": self.stores_digest()}]
        stack["StackStatus"] = "UPDATE_COMPLETE"
        return {"StackId": asked["StackName"]}

    def stores_digest(self) -> str:
        """What the macro would write down of the stores that are published at home."""
        stores = {}
        for (where, name), (value, _) in self.parameters.items():
            root, _, leaf = name.rpartition("/")
            key = self.parameters.get((where, f"{root}/key-arn"))
            if where == HOME and leaf == "bucket" and "/artifact-stores/" in root and key:
                region = root.rpartition("/")[2]
                stores[region] = ArtifactStore(region, value, key[0])
        return stores_digest(stores)


def _statements(policy: str) -> list[Json]:
    """One alone may stand there without a list (IAM User Guide, "IAM JSON policy elements:
    Statement")."""
    found = json.loads(policy)["Statement"]
    return found if isinstance(found, list) else [found]


def _is_public(statement: Json) -> bool:
    """As far as our policies and those in the tests go (Amazon S3 User Guide, "The meaning of
    'public'")."""
    everybody = statement["Principal"] in ("*", {"AWS": "*"})
    return statement["Effect"] == "Allow" and everybody and "Condition" not in statement


def _pairs(tags: list[Json]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


PUBLIC_ACCESS = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)
# What S3 sets on every new bucket, and falls back to (Amazon S3 User Guide, "Setting default
# server-side encryption behavior for Amazon S3 buckets").
DEFAULT_ENCRYPTION = [
    {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }
]
STATUSES = {
    "eu-central-1": "ENABLED_BY_DEFAULT",
    "eu-west-1": "ENABLED_BY_DEFAULT",
    "us-east-1": "ENABLED_BY_DEFAULT",
    "ap-east-1": "ENABLED",
    "me-south-1": "ENABLED",
    "af-south-1": "DISABLED",
    "eu-south-1": "ENABLING",
}


# --- What is left behind --------------------------------------------------------------------------


@dataclass(frozen=True)
class Footprint:
    """What one cloud holds of Foothold, comparable with another's: keys go by their alias.

    `orphans` are keys that carry the stack's tag, cost money, and that no alias points at.
    """

    store: str
    orphans: tuple[str, ...]


def footprint(cloud: Cloud) -> Footprint:
    names = {arn: f"<the key of {where}>" for (where, _), arn in cloud.aliases.items()}
    mine: dict[str, Json] = {
        "buckets": {
            name: {"region": b.region, "tags": b.tags, "objects": _objects(b), **_policies(b)}
            for name, b in cloud.buckets.items()
            if b.owner == cloud.account
        },
        "keys": {
            arn: {"state": k.state, "policy": k.policy, "rotation": k.rotation, "tags": k.tags}
            for arn, k in cloud.keys.items()
            if arn in names
        },
        "aliases": {" ".join(name): arn for name, arn in cloud.aliases.items()},
        "parameters": {" ".join(name): value for name, value in cloud.parameters.items()},
        "stacks": {
            # Digests are made of key ARNs, so only whether it is the right one can be compared.
            name: stack["Outputs"][0]["OutputValue"] == cloud.stores_digest()
            for name, stack in cloud.stacks.items()
            if "Outputs" in stack
        },
    }
    mine["keys"]["that go"] = sum(
        key.state == "PendingDeletion" and key.window == LONGEST_WINDOW
        for key in cloud.keys.values()
    )
    text = "\n".join(_lines(mine))
    # How many objects a retirement has counted: a reply that was lost counted none.
    text = re.sub(r'(\\"deleted\\": ?)\d+', r"\1n", text)
    # Why one was called off: an error that was met says so in its own words.
    text = re.sub(r'(\\"reason\\": ?\\").*?(\\"})', r"\1why\2", text)
    for arn, name in names.items():
        text = text.replace(arn, name)
    orphans = tuple(
        arn
        for arn, key in cloud.keys.items()
        if STACK_TAG in key.tags and arn not in names and key.state != "PendingDeletion"
    )
    return Footprint(text, orphans)


def _lines(things: Mapping[str, Json]) -> Iterator[str]:
    """A line for each fact, in one order, so that two texts differ where the facts do."""
    for kind, named in things.items():
        for name, thing in sorted(named.items()):
            facts = thing if isinstance(thing, dict) else {"is": thing}
            for fact, value in sorted(facts.items()):
                yield f"{kind} {name} {fact}: {json.dumps(value, sort_keys=True)}"


def _objects(bucket: Bucket) -> Json:
    return {key: str(versions[-1]["Body"])[:80] for key, versions in bucket.objects.items()}


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _policies(bucket: Bucket) -> Json:
    settings = dict(bucket.settings)
    if "policy" in settings:
        settings["policy"] = json.loads(settings["policy"])
    return settings


# --- Under botocore -------------------------------------------------------------------------------


def _keep_params(params: Json, context: Json, **_: Any) -> None:
    if Cloud.current is not None:
        context["proof_params"] = params


def _answer(
    model: Any, params: Json, request_signer: Any, context: Json, **_: Any
) -> tuple[AWSResponse, Json] | None:
    cloud = Cloud.current
    if cloud is None:
        return None
    service = model.service_model.service_name
    region = context["client_region"]
    if service == "s3":
        region = _signing_region(context) or region
    members = model.input_shape.members if model.input_shape else {}
    access_key = request_signer._credentials.access_key  # noqa: SLF001  nothing else tells
    call = Call(
        service,
        model.name,
        region,
        context["proof_params"],
        "ExpectedBucketOwner" in members,
        access_key != ACCESS_KEY,
        Cloud.invoked.get(),
        access_key.partition(".")[2],
    )
    status, headers = 200, cast("Any", HeadersDict())
    try:
        parsed = cloud.receive(call)
    except Refused as refused:
        status = refused.status
        parsed = {"Error": {"Code": refused.code, "Message": refused.message}}
    parsed = {**parsed, "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "proof"}}
    return AWSResponse(params["url"], status, headers, None), parsed


def _signing_region(context: Json) -> str | None:
    region = context.get("signing", {}).get("region")
    return str(region) if region else None


# As moto does it: every session that is made from now on has these handlers. They do nothing
# while no cloud is in use.
botocore.handlers.BUILTIN_HANDLERS.append(("before-parameter-build", _keep_params))
botocore.handlers.BUILTIN_HANDLERS.append(("before-call", _answer))
