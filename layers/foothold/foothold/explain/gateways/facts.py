"""What stands between a role and an artifact, read from AWS: twelve reads a question, no write."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

from botocore.exceptions import ClientError

from foothold.aws.clients import aws_call, error_code
from foothold.errors import FootholdError, PermanentError
from foothold.explain.chain import LinkVerdict, explain, to_simulate
from foothold.explain.gateways.organization import OrganizationPolicies
from foothold.explain.observed import (
    BucketFacts,
    Grant,
    KeyFacts,
    Membership,
    ObjectFacts,
    Observed,
    PublishedFacts,
    RoleFacts,
    Simulated,
    Unread,
)
from foothold.explain.principal import Purpose, Question, asking_role
from foothold.refused import BECOME
from foothold.stores.model import ControlPlane
from foothold.stores.published import ACCOUNT_REGIONAL
from foothold.stores.register import Adoption, Names, Register

Value = TypeVar("Value")
# A client: of a service, an account and a region.
Client = Callable[[str, str, str], Any]
Planes = Callable[[Mapping[str, str]], ControlPlane]

READS = 12
NOT_ASKED = Unread("the settings of the control plane were not asked for")
NOT_YET = Unread("the parameters of the region itself are not read yet")
AT_ONCE = 16  # more than wait for one another
NO_ENTITY = frozenset({"NoSuchEntity", "NoSuchEntityException"})
NO_BUCKET = frozenset({"NoSuchBucket"})
NO_OBJECT = frozenset({"404", "NoSuchKey", "NotFound"})
NO_KEY = frozenset({"NotFoundException"})
NO_ORGANIZATION = frozenset({"AWSOrganizationsNotInUseException"})
NO_POLICY = frozenset({"NoSuchBucketPolicy"})
NOT_SET = frozenset({"OwnershipControlsNotFoundError", "NoSuchPublicAccessBlockConfiguration"})
# AWS Account Management Reference Guide, "Enable or disable AWS Regions": these are on in every
# account, all others only where somebody has enabled them.
ALWAYS_ON = frozenset(
    {
        *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1"),
        *("ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1"),
        *("eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1"),
        *("us-west-2", "cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1"),
    }
)
DECISIONS = frozenset({"allowed", "explicitDeny", "implicitDeny"})
TYPES = {
    "aws:PrincipalIsAWSService": "boolean",
    "aws:PrincipalOrgPaths": "stringList",
    "aws:SecureTransport": "boolean",
    "s3:TlsVersion": "numeric",
}
ENABLED = frozenset({"ENABLED", "ENABLED_BY_DEFAULT"})


class _Reads:
    """The reads of one question, counted; whatever fails is told as unread."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._left = READS
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        with self._lock:
            return self._left

    def start(self, read: Callable[[], Value]) -> Future[Value]:
        return self._pool.submit(read)

    def __call__(
        self, doing: str, call: Callable[[], Value], absent: frozenset[str] = frozenset()
    ) -> Value | Unread | None:
        with self._lock:
            if not self._left:
                return Unread(f"cannot {doing}: the question's {READS} reads are used up")
            self._left -= 1
        try:
            with aws_call(doing):
                try:
                    return call()
                except ClientError as error:
                    if error_code(error) in absent:
                        return None
                    raise
        except FootholdError as error:
            return Unread(str(error))


class AwsObserver:
    """`explain.ports.ChainObserver` on AWS.

    `client` makes a client of a service, in an account and a region; `plane` reads a control
    plane's settings from its function's environment; `organization` has the organisation's own
    policies, where somebody may read them: its reads are beside the twelve.
    """

    def __init__(
        self,
        owner: Callable[[], str],
        home_region: str,
        names: Names,
        client: Client,
        plane: Planes,
        *,
        organization: OrganizationPolicies | None = None,
    ) -> None:
        self._owner = owner
        self._home = home_region
        self._names = names
        self._client_of = client
        self._plane = plane
        self._policies = organization

    def region_of(self, bucket: str) -> str:
        """As the port says: by the bucket's name, or where it was adopted, by the parameters."""
        told = ACCOUNT_REGIONAL.fullmatch(bucket)
        if told and told[1] == self._owner():
            return told[2]
        with aws_call(f"read the parameters below {self._names.stores}"):
            pages = self._client("ssm", self._home).get_paginator("get_parameters_by_path")
            found = {
                one["Name"]: one["Value"]
                for page in pages.paginate(Path=self._names.stores, Recursive=True)
                for one in page["Parameters"]
            }
        stores = Register(self._names, found).stores
        for region, store in stores.items():
            if store.bucket == bucket:
                return region
        known = ", ".join(store.bucket for store in stores.values()) or "none"
        raise PermanentError(f"bucket {bucket} is no artifact store of Foothold: there are {known}")

    def observe(self, question: Question) -> Observed:
        """As the port says. What only explains a refusal is read where something refuses: the
        settings of the control plane."""
        owner = self._owner()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            reads = _Reads(pool)
            role = reads.start(partial(self._role, reads, question))
            enabled = reads.start(partial(self._enabled, reads, question))
            organization = reads.start(partial(self._organization, reads, question, owner))
            home = self._parameters(reads, self._home, self._home_names(question))
            adopted = self._adopted(question, home)
            bucket, alias_name = self._named(question, home, owner)
            plane: ControlPlane | Unread = NOT_ASKED
            if not (bucket and alias_name):
                plane = self._settings(reads, home)
                if not isinstance(plane, Unread):
                    bucket = bucket or plane.spec(question.region, adopted).bucket
                    alias_name = plane.key_alias
            store = self._store(reads, question, bucket, alias_name)
            known = role.result()
            seen = Observed(
                _with_path(question, known),
                owner,
                known,
                self._membership(question, organization.result(), store[0], plane),
                enabled.result(),
                *store,
                PublishedFacts(self._at_home(question, home), NOT_YET),
                plane,
                adopted,
            )
            if plane is NOT_ASKED and _is_refused(seen):
                plane = self._settings(reads, home)
                membership = self._membership(question, organization.result(), store[0], plane)
                seen = replace(seen, plane=plane, membership=membership)
            # IAM's own opinion confirms what is known: it takes no read from what is not.
            to_come = question.is_about_artifacts and question.region != self._home
            asked = reads.left > to_come and reads.start(partial(self._simulated, reads, seen))
            regional = self._regional(reads, question, home)
            simulated = asked.result() if asked else {}
        published = replace(seen.published, regional=regional)
        return replace(seen, published=published, simulated=simulated)

    def _simulated(self, reads: _Reads, seen: Observed) -> Mapping[str, Simulated]:
        resources, context = to_simulate(seen)
        if not resources:
            return {}
        role = seen.question.role
        found = reads(
            f"ask for IAM's own simulation of {role.arn}",
            lambda: self._client_of("iam", role.account, self._home).simulate_principal_policy(
                PolicySourceArn=role.arn,
                ActionNames=list(resources),
                ResourceArns=sorted(set(resources.values())),
                ContextEntries=[_entry(key, values) for key, values in context.items()],
            )["EvaluationResults"],
        )
        return _simulation(found, resources) if isinstance(found, list) else {}

    def _store(
        self, reads: _Reads, question: Question, bucket: str | None, alias_name: str | None
    ) -> tuple[
        BucketFacts | Unread | None,
        ObjectFacts | Unread | None,
        KeyFacts | Unread | None,
        str | Unread | None,
    ]:
        """Its bucket, the object, the key, and what the alias points at."""
        policy = reads.start(partial(self._bucket, reads, question, bucket))
        aliased = reads.start(partial(self._alias, reads, question, alias_name))
        found = self._object(reads, question, bucket)
        alias, described = aliased.result()
        key = self._key(reads, question, found, alias, described)
        return self._public(reads, question, policy.result(), found), found, key, alias

    def _named(
        self, question: Question, home: Mapping[str, str] | Unread, owner: str
    ) -> tuple[str | None, str | None]:
        """The bucket and the key's alias, as far as the store's own name tells them."""
        name = self._names.publishing(self._names.store(question.region))[0]
        published = None if isinstance(home, Unread) else home.get(name)
        told = re.fullmatch(rf"(.+)-{owner}-{question.region}-[0-9a-z]+", published or "")
        alias = f"alias/{told[1]}/artifacts" if told else None
        return question.bucket or (published if told else None), alias

    def _membership(
        self,
        question: Question,
        organization: str | Unread | None,
        bucket: BucketFacts | Unread | None,
        plane: ControlPlane | Unread,
    ) -> Membership:
        known = _membership(organization, bucket, plane)
        if self._policies is None or question.action == BECOME:
            return known
        return self._policies.placed(known, question.role.account, self._owner())

    def _client(self, service: str, region: str) -> Any:
        return self._client_of(service, self._owner(), region)

    # --- The principal ---------------------------------------------------------------------------

    def _role(self, reads: _Reads, question: Question) -> RoleFacts | Unread | None:
        asked = question.role
        iam = partial(self._client_of, "iam", asked.account, self._home)
        inline = reads.start(partial(self._inline, reads, iam, asked.name))
        managed = None
        if question.action != BECOME:
            managed = reads.start(partial(self._managed, reads, iam, asked.name))
        found = reads(
            f"read role {asked.arn}",
            lambda: iam().get_role(RoleName=asked.name)["Role"],
            NO_ENTITY,
        )
        policies = _together(inline.result(), managed.result() if managed else {})
        if found is None or isinstance(found, Unread):
            return found
        boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        bounded = self._document(reads, iam, boundary) if boundary else None
        return RoleFacts(
            _document(found["AssumeRolePolicyDocument"]),
            policies,
            (boundary, bounded) if isinstance(bounded, Mapping) else bounded,
            str(found["Arn"]),
        )

    def _inline(
        self, reads: _Reads, iam: Callable[[], Any], name: str
    ) -> Mapping[str, Any] | Unread:
        listed = reads(
            f"list the policies of role {name}",
            lambda: iam().list_role_policies(RoleName=name)["PolicyNames"],
            NO_ENTITY,
        )
        if listed is None or isinstance(listed, Unread):
            return listed or {}
        found: dict[str, Any] = {}
        for policy in listed:
            doing = f"read policy {policy} of role {name}"
            read = partial(reads, doing, partial(_role_policy, iam, name, policy))
            found[policy] = reads.start(read)
        return _all_read({policy: each.result() for policy, each in found.items()})

    def _managed(
        self, reads: _Reads, iam: Callable[[], Any], name: str
    ) -> Mapping[str, Any] | Unread:
        attached = reads(
            f"list what is attached to role {name}",
            lambda: iam().list_attached_role_policies(RoleName=name)["AttachedPolicies"],
            NO_ENTITY,
        )
        if attached is None or isinstance(attached, Unread):
            return attached or {}
        arns = [policy["PolicyArn"] for policy in attached]
        found = {arn: reads.start(partial(self._document, reads, iam, arn)) for arn in arns}
        return _all_read({arn: each.result() for arn, each in found.items()})

    def _document(
        self, reads: _Reads, iam: Callable[[], Any], arn: str
    ) -> Mapping[str, Any] | Unread:
        """A managed policy, as its default version says."""
        policy = reads(f"read policy {arn}", lambda: iam().get_policy(PolicyArn=arn)["Policy"])
        if policy is None or isinstance(policy, Unread):
            return policy or Unread(f"policy {arn} has gone meanwhile")
        version = policy["DefaultVersionId"]
        found = reads(
            f"read version {version} of policy {arn}",
            lambda: iam().get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"],
        )
        if found is None or isinstance(found, Unread):
            return found or Unread(f"policy {arn} has gone meanwhile")
        return _document(found["Document"])

    def _enabled(self, reads: _Reads, question: Question) -> bool | Unread:
        region, account = question.region, question.role.account
        if region in ALWAYS_ON or question.action == BECOME:
            return True
        status = reads(
            f"ask whether account {account} has enabled {region}",
            lambda: self._client_of("account", account, self._home).get_region_opt_status(
                RegionName=region
            )["RegionOptStatus"],
        )
        return status if isinstance(status, Unread) else status in ENABLED

    def _organization(self, reads: _Reads, question: Question, owner: str) -> str | Unread | None:
        """The principal's organisation; only who is of another account, or has to be let in by
        its organisation, needs one."""
        account = question.role.account
        if account == owner and question.role.purpose is not Purpose.DEPLOY:
            return Unread("it does not matter within the store's own account")
        return reads(
            f"ask which organisation account {account} belongs to",
            lambda: str(
                self._client_of("organizations", account, self._home).describe_organization()[
                    "Organization"
                ]["Id"]
            ),
            NO_ORGANIZATION,
        )

    # --- The control plane -----------------------------------------------------------------------

    def _home_names(self, question: Question) -> tuple[str, ...]:
        names, region = self._names, question.region
        own = names.publishing(names.own_store) if region == self._home else ()
        return (
            *names.publishing(names.store(region)),
            names.adoption(region),
            names.reconcile_function,
            *own,
        )

    def _parameters(
        self, reads: _Reads, region: str, names: tuple[str, ...]
    ) -> Mapping[str, str] | Unread:
        found = reads(
            f"read the parameters {', '.join(names)} in {region}",
            lambda: {
                one["Name"]: one["Value"]
                for one in self._client("ssm", region).get_parameters(Names=list(names))[
                    "Parameters"
                ]
            },
        )
        return found if found is not None else {}

    def _at_home(
        self, question: Question, home: Mapping[str, str] | Unread
    ) -> tuple[str | None, str | None] | Unread:
        return _pair(home, self._names.publishing(self._names.store(question.region)))

    def _regional(
        self, reads: _Reads, question: Question, home: Mapping[str, str] | Unread
    ) -> tuple[str | None, str | None] | Unread:
        own = self._names.publishing(self._names.own_store)
        if question.region == self._home or not question.is_about_artifacts:
            return _pair(home, own)
        return _pair(self._parameters(reads, question.region, own), own)

    def _settings(self, reads: _Reads, home: Mapping[str, str] | Unread) -> ControlPlane | Unread:
        if isinstance(home, Unread):
            return home
        function = home.get(self._names.reconcile_function)
        if not function:
            raise PermanentError(
                f"Foothold is not deployed in {self._home} of this account (there is no parameter "
                f"{self._names.reconcile_function}): deploy it, or choose its region"
            )
        found = reads(
            f"read the settings of function {function}",
            lambda: self._client("lambda", self._home).get_function_configuration(
                FunctionName=function
            ),
        )
        if found is None or isinstance(found, Unread):
            return found or Unread(f"function {function} has gone")
        variables = found.get("Environment", {}).get("Variables", {})
        try:
            return self._plane({**variables, "AWS_REGION": self._home})
        except PermanentError as error:
            return Unread(str(error))

    def _adopted(self, question: Question, home: Mapping[str, str] | Unread) -> Adoption | None:
        name = self._names.adoption(question.region)
        if isinstance(home, Unread) or name not in home:
            return None
        return Adoption.parse(name, home[name])

    # --- The store -------------------------------------------------------------------------------

    def _bucket(
        self, reads: _Reads, question: Question, bucket: str | None
    ) -> BucketFacts | Unread | None:
        if not question.is_about_artifacts:
            return None
        if bucket is None:
            return Unread(f"which bucket {question.region} has is not known")
        s3, owner = self._client("s3", question.region), self._owner()

        def policy() -> str | None:
            try:
                found = s3.get_bucket_policy(Bucket=bucket, ExpectedBucketOwner=owner)
            except ClientError as error:
                if error_code(error) in NO_POLICY:
                    return ""
                raise
            return str(found["Policy"])

        found = reads(f"read the policy of bucket {bucket}", policy, NO_BUCKET)
        if found is None:
            return None
        return BucketFacts(bucket, found if isinstance(found, Unread) else _json(found))

    def _public(
        self,
        reads: _Reads,
        question: Question,
        facts: BucketFacts | Unread | None,
        found: ObjectFacts | Unread | None,
    ) -> BucketFacts | Unread | None:
        """The bucket's other settings, where they can matter: who owns the objects, where the
        owner may not read this one; and public access, where a statement opens the bucket."""
        if not isinstance(facts, BucketFacts):
            return facts
        s3, bucket, owner = self._client("s3", question.region), facts.name, self._owner()
        ownership: str | Unread | None = facts.ownership
        if isinstance(found, Unread):
            ownership = reads(
                f"read who owns the objects of {bucket}",
                lambda: str(
                    s3.get_bucket_ownership_controls(Bucket=bucket, ExpectedBucketOwner=owner)[
                        "OwnershipControls"
                    ]["Rules"][0]["ObjectOwnership"]
                ),
                NOT_SET,
            )
        restricts: bool | Unread = True
        if isinstance(facts.policy, Mapping) and _opens(facts.policy):
            blocked = reads(
                f"read the public access block of {bucket}",
                lambda: bool(
                    s3.get_public_access_block(Bucket=bucket, ExpectedBucketOwner=owner)[
                        "PublicAccessBlockConfiguration"
                    ]["RestrictPublicBuckets"]
                ),
                NOT_SET,
            )
            restricts = blocked if blocked is not None else False
        return BucketFacts(bucket, facts.policy, restricts, ownership)

    def _object(
        self, reads: _Reads, question: Question, bucket: str | None
    ) -> ObjectFacts | Unread | None:
        if not question.key or bucket is None:
            return None
        owner = self._owner()
        found = reads(
            f"look at s3://{bucket}/{question.key}",
            lambda: self._client("s3", question.region).head_object(
                Bucket=bucket, Key=question.key, ExpectedBucketOwner=owner
            ),
            NO_OBJECT,
        )
        if found is None or isinstance(found, Unread):
            return found
        return ObjectFacts(found.get("SSEKMSKeyId"))

    def _alias(
        self, reads: _Reads, question: Question, name: str | None
    ) -> tuple[str | Unread | None, Mapping[str, Any] | None]:
        """What the alias points at, and what KMS says of that key."""
        if not question.is_about_artifacts:
            return None, None
        if name is None:
            return Unread(f"which alias the key of {question.region} has is not known"), None
        found = self._describe(reads, question.region, name)
        if found is None or isinstance(found, Unread):
            return found, None
        return str(found["Arn"]), found

    def _describe(self, reads: _Reads, region: str, key: str) -> Mapping[str, Any] | Unread | None:
        return reads(
            f"look at key {key} in {region}",
            lambda: self._client("kms", region).describe_key(KeyId=key)["KeyMetadata"],
            NO_KEY,
        )

    def _key(
        self,
        reads: _Reads,
        question: Question,
        found: ObjectFacts | Unread | None,
        alias: str | Unread | None,
        described: Mapping[str, Any] | None,
    ) -> KeyFacts | Unread | None:
        """The key that the object is under; the store's own where none is asked for."""
        arn = found.key_arn if isinstance(found, ObjectFacts) else None
        arn = arn or (alias if isinstance(alias, str) else None)
        if arn is None:
            return alias if isinstance(alias, Unread) else None
        region = arn.split(":")[3]
        if described is None or described["Arn"] != arn:
            other = self._describe(reads, region, arn)
            if other is None or isinstance(other, Unread):
                return other
            described = other
        policy = reads(
            f"read the policy of key {arn}",
            lambda: self._client("kms", region).get_key_policy(KeyId=arn, PolicyName="default")[
                "Policy"
            ],
        )
        return KeyFacts(
            arn,
            str(described["KeyState"]),
            policy if isinstance(policy, Unread) else _json(policy or ""),
            self._grants(reads, question, arn, region, policy),
        )

    def _grants(
        self, reads: _Reads, question: Question, arn: str, region: str, policy: Any
    ) -> tuple[Grant, ...] | Unread:
        """Foothold makes none: they are looked at where the key's policy does not even name the
        principal's account or everybody, and so nothing else can let it in."""
        role = question.role
        told = policy if isinstance(policy, str) else ""
        if isinstance(policy, Unread) or '"*"' in told or f"{role.account}:" in told:
            return ()
        found = reads(
            f"list the grants of key {arn}",
            lambda: self._client("kms", region).list_grants(KeyId=arn, GranteePrincipal=role.arn)[
                "Grants"
            ],
        )
        if found is None or isinstance(found, Unread):
            return found or ()
        return tuple(
            Grant(role.arn, tuple(one["Operations"])) for one in found if not one.get("Constraints")
        )


def _entry(key: str, values: tuple[str, ...]) -> dict[str, Any]:
    kind = TYPES.get(key, "string")
    return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": kind}


def _simulation(found: list[Any], resources: Mapping[str, str]) -> Mapping[str, Simulated]:
    """What it says of each action on its own resource; nothing at all where it does not answer for
    every one, or misses a part of the context, so that the result "might be untrustworthy" (IAM
    API Reference, "EvaluationResult")."""
    simulated = {}
    for one in found:
        action, decision = str(one.get("EvalActionName")), one.get("EvalDecision")
        usable = decision in DECISIONS and not one.get("MissingContextValues")
        if usable and one.get("EvalResourceName") == resources.get(action):
            boundary = one.get("PermissionsBoundaryDecisionDetail", {})
            organization = one.get("OrganizationsDecisionDetail", {})
            simulated[action] = Simulated(
                decision == "allowed",
                boundary.get("AllowedByPermissionsBoundary"),
                organization.get("AllowedByOrganizations"),
            )
    return simulated if simulated.keys() == resources.keys() else {}


def _with_path(question: Question, role: RoleFacts | Unread | None) -> Question:
    """The question, about the role by its whole name: a session's ARN leaves out the path."""
    if not isinstance(role, RoleFacts) or not role.arn:
        return question
    return replace(question, role=asking_role(role.arn))


def _is_refused(seen: Observed) -> bool:
    """Whether anything but a parameter that is not read yet is broken, or may be."""
    return any(
        link.decides and link.verdict is not LinkVerdict.OK and link.says != NOT_YET.why
        for link in explain(seen).links
    )


def _role_policy(iam: Callable[[], Any], role: str, policy: str) -> Any:
    return iam().get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]


def _all_read(found: Mapping[str, Any]) -> Mapping[str, Any] | Unread:
    """The documents by name; the first of them that could not be read instead."""
    for policy, document in found.items():
        if document is None:
            return Unread(f"policy {policy} has gone meanwhile")
        if isinstance(document, Unread):
            return document
    return {policy: _document(document) for policy, document in found.items()}


def _together(
    inline: Mapping[str, Any] | Unread, managed: Mapping[str, Any] | Unread
) -> Mapping[str, Any] | Unread:
    if isinstance(inline, Unread):
        return inline
    return managed if isinstance(managed, Unread) else {**inline, **managed}


def _membership(
    organization: str | Unread | None,
    bucket: BucketFacts | Unread | None,
    plane: ControlPlane | Unread,
) -> Membership:
    """The one organisation that the store is for is its own account's, and where it is the
    principal's as well, nothing has to be asked. The organisation's own policies are for its
    management account to read."""
    ids = _readers(bucket) if isinstance(plane, Unread) else plane.organization_ids
    unread = Unread("only the organisation's management account may read them")
    owners: str | Unread = Unread("the organisation of the store's account is not known")
    if isinstance(organization, str) and ids == (organization,):
        owners = organization
    path = Unread("only the organisation's management account knows the path of an account")
    return Membership(organization, owners, path, unread, unread)


def _readers(bucket: BucketFacts | Unread | None) -> tuple[str, ...]:
    """The organisations that the bucket policy lets in."""
    policy = bucket.policy if isinstance(bucket, BucketFacts) else None
    for one in _bodies(policy if isinstance(policy, Mapping) else {}):
        if one.get("Sid") == "OrganizationDeployRolesRead":
            ids = one.get("Condition", {}).get("StringEquals", {}).get("aws:PrincipalOrgID", ())
            return (ids,) if isinstance(ids, str) else tuple(ids)
    return ()


def _pair(
    found: Mapping[str, str] | Unread, names: tuple[str, str]
) -> tuple[str | None, str | None] | Unread:
    return found if isinstance(found, Unread) else (found.get(names[0]), found.get(names[1]))


def _opens(policy: Mapping[str, Any]) -> bool:
    return any(one.get("Effect") == "Allow" and not one.get("Condition") for one in _bodies(policy))


def _bodies(policy: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    body = policy.get("Statement", ())
    for one in body if isinstance(body, list) else [body]:
        if isinstance(one, Mapping):
            yield one


def _json(text: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = json.loads(text) if text else None
    return found


def _document(found: Any) -> Mapping[str, Any]:
    """A policy document of IAM, which botocore has decoded, or nobody has."""
    document: Mapping[str, Any] = json.loads(unquote(found)) if isinstance(found, str) else found
    return document
