"""Of one thing broken between a role and an artifact, `foothold explain` names that thing, and the
command that it prints mends it.

A world holds the product's own documents: the roles of pipelines/ and of an expanded declaration,
the store's policies. One fault goes in. The first link that is called broken has to be the fault's
own; then the printed commands are run, word by word, on the world, and the evaluator that is not
ours has to allow the call. Commands that grant have to grant nothing else.
"""

import copy
import json
import random
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise, product
from typing import Any

from foothold.explain.chain import Chain, explain
from foothold.explain.evaluate import listed
from foothold.explain.fixes import Fix
from foothold.explain.observed import (
    BucketFacts,
    Grant,
    KeyFacts,
    Membership,
    ObjectFacts,
    Observed,
    PolicyLevel,
    PublishedFacts,
    RoleFacts,
)
from foothold.explain.principal import Purpose, Question, asking_role
from foothold.stores.beside import policy_beside
from foothold.stores.model import ControlPlane
from foothold.stores.policies import bucket_policy, key_policy
from proof import privileges, roles
from proof.cloud import HOME
from proof.decisions import ANOTHER_ORGANIZATION, ORGANIZATION, OTHER, READERS, TOOLS
from proof.decisions import MEMBER as TEST
from proof.judge import Row, allowed
from proof.result import Result, Scale

Json = dict[str, Any]

PROJECT = "connected"
PIPELINE_ROLE = f"arn:aws:iam::{TOOLS}:role/foothold-{PROJECT}-pipeline"
ROLES: Mapping[Purpose, str] = {
    Purpose.PIPELINE: PIPELINE_ROLE,
    Purpose.BUILD: f"arn:aws:iam::{TOOLS}:role/foothold-{PROJECT}-build",
    Purpose.PACKAGE: f"arn:aws:iam::{TOOLS}:role/foothold-Permissions-1A-PackageRole-2B",
    Purpose.DEPLOY: f"arn:aws:iam::{TEST}:role/foothold-deploy",
    Purpose.CLOUDFORMATION: f"arn:aws:iam::{TEST}:role/foothold-cloudformation",
}
ACROSS = (Purpose.DEPLOY, Purpose.CLOUDFORMATION)
WITHIN = (Purpose.PIPELINE, Purpose.BUILD, Purpose.PACKAGE)
ARTIFACTS = (
    (HOME, f"{PROJECT}/BuildOutpu/AbCdEfG"),
    ("eu-west-1", f"{PROJECT}/builds/0123456789abcdef"),
    ("us-east-1", f"{PROJECT}/releases/0a1b2c/template-export-us-east-1.yml"),
)
PATH = f"{ORGANIZATION}/r-root/ou-prod/"
SAMPLE, HEALTHY, DOUBLE = 150, 500, 400


def policy(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def says(effect: str, action: Any, resource: Any = "*", **more: Any) -> Json:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


EVERYTHING = policy(says("Allow", "*"))


@dataclass
class World:
    """Everything around one role and one artifact, as it is."""

    purpose: Purpose
    region: str
    key: str
    trust: Json | None
    policies: dict[str, Json]
    plane: ControlPlane
    bucket_policy: Json | None
    keys: dict[str, Json]
    store_key: str
    action: str = "s3:GetObject"
    by_region: bool = False  # any artifact is asked for, and not this one
    boundary: tuple[str, Json] | None = None
    enabled: bool = True
    restricts_public: bool = True
    ownership: str = "BucketOwnerEnforced"
    object_key: str | None = None
    alias: str | None = None
    home: list[str | None] = field(default_factory=list)
    regional: list[str | None] = field(default_factory=list)
    organization: str | None = ORGANIZATION
    path: str | None = PATH
    service_levels: dict[str, dict[str, Json]] = field(
        default_factory=lambda: {
            "r-root": {"p-root": EVERYTHING},
            "ou-prod": {"p-unit": EVERYTHING},
            "account": {"p-account": EVERYTHING},
        }
    )
    resource_levels: dict[str, dict[str, Json]] = field(default_factory=lambda: {"r-root": {}})

    @property
    def arn(self) -> str:
        return ROLES[self.purpose]

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    @property
    def bucket(self) -> str:
        return self.plane.spec(self.region).bucket

    @property
    def resource(self) -> str:
        return f"arn:aws:s3:::{self.bucket}/{self.key}"

    def observed(self) -> Observed:
        role = None
        if self.trust is not None:
            role = RoleFacts(self.trust, self.policies, self.boundary)
        under = self.object_key or self.store_key
        key = self.keys[under]
        return Observed(
            self._question,
            TOOLS,
            role,
            Membership(
                self.organization,
                ORGANIZATION,
                self.path,
                _levels(self.service_levels),
                _levels(self.resource_levels),
            ),
            self.enabled,
            BucketFacts(self.bucket, self.bucket_policy, self.restricts_public, self.ownership),
            ObjectFacts(self.object_key) if self.object_key and not self.by_region else None,
            KeyFacts(under, key["state"], key["policy"], tuple(key["grants"])),
            self.alias,
            PublishedFacts((self.home[0], self.home[1]), (self.regional[0], self.regional[1])),
            self.plane,
        )

    @property
    def _question(self) -> Question:
        role = asking_role(self.arn)
        if self.by_region:
            return Question(role, self.action, self.region)
        return Question(role, self.action, self.region, self.bucket, self.key)

    @property
    def is_sound(self) -> bool:
        """Whatever no policy decides: would the call, and the next packaging, succeed?"""
        published = [self.bucket, self.store_key]
        return (
            self.trust is not None
            and self.enabled
            and self.object_key is not None
            and self.keys[self.object_key]["state"] == "Enabled"
            and self.alias == self.store_key
            and self.home == self.regional == published
            and self.ownership == "BucketOwnerEnforced"
            and not (self.account != TOOLS and self.restricts_public and self._is_public)
        )

    @property
    def _is_public(self) -> bool:
        return any(
            one["Effect"] == "Allow"
            and one["Principal"] in ("*", {"AWS": "*"})
            and not one.get("Condition")
            for one in (self.bucket_policy or policy())["Statement"]
        )

    def rows(self) -> Iterator[Row]:
        """What has to be allowed, for the call to succeed."""
        yield self.row(self.action, self.resource)
        under = self.object_key or self.store_key
        doing = "kms:Decrypt" if self.action == "s3:GetObject" else "kms:GenerateDataKey"
        if not any(one.grantee == self.arn for one in self.keys[under]["grants"]):
            yield self.row(doing, under)
        yield self._trusted()
        if self.purpose is Purpose.DEPLOY:
            handed = ROLES[Purpose.CLOUDFORMATION]
            yield replace(
                self.row("iam:PassRole", handed),
                context={"iam:PassedToService": "cloudformation.amazonaws.com"},
                owner=self.account,
            )

    def row(self, action: str, resource: str) -> Row:
        context: dict[str, str | list[str]] = {
            "aws:SecureTransport": "true",
            "aws:PrincipalIsAWSService": "false",
            "aws:PrincipalAccount": self.account,
            "aws:PrincipalArn": self.arn,
            "aws:RequestedRegion": self.region,
            "aws:ResourceAccount": TOOLS,
        }
        if self.organization:
            context["aws:PrincipalOrgID"] = self.organization
        if self.organization and self.path:
            context["aws:PrincipalOrgPaths"] = [self.path]
        decides: Any = None
        if action.startswith("s3:"):
            context["s3:TlsVersion"] = "1.3"
            decides = self.bucket_policy
            if action == "s3:PutObject":
                context["s3:x-amz-server-side-encryption"] = "aws:kms"
                context["s3:x-amz-server-side-encryption-aws-kms-key-id"] = self.store_key
        if action.startswith("kms:"):
            context["kms:ViaService"] = f"s3.{self.region}.amazonaws.com"
            context["kms:CallerAccount"] = self.account
            context["kms:EncryptionContext:aws:s3:arn"] = f"arn:aws:s3:::{self.bucket}"
            decides = self.keys[resource]["policy"]
        owner = resource.split(":")[4] or TOOLS
        return Row(
            self.arn,
            action,
            resource,
            owner,
            context,
            tuple(text(each) for each in self.policies.values()),
            text(decides) if decides else None,
            text(self.boundary[1]) if self.boundary else None,
            tuple(
                tuple(text(each) for each in level.values())
                for level in self.service_levels.values()
            ),
            tuple(
                tuple(text(each) for each in level.values())
                for level in self.resource_levels.values()
                if level
            ),
        )

    def _trusted(self) -> Row:
        service = self.purpose.service
        trust = text(self.trust or policy())
        if service:
            context = {"aws:PrincipalIsAWSService": "true", "aws:SourceAccount": self.account}
            context["aws:PrincipalServiceName"] = service
            return Row(service, "sts:AssumeRole", self.arn, self.account, context, policy=trust)
        context = {"aws:PrincipalOrgID": ORGANIZATION, "aws:PrincipalArn": PIPELINE_ROLE}
        context["aws:PrincipalAccount"] = TOOLS
        return Row(
            PIPELINE_ROLE,
            "sts:AssumeRole",
            self.arn,
            self.account,
            context,
            (text(EVERYTHING),),
            trust,
        )

    # --- What mends it ---------------------------------------------------------------------------

    def converge(self) -> None:
        """What Foothold's schedule does."""
        spec = self.plane.spec(self.region)
        ours = bucket_policy(spec, self.store_key)
        self.bucket_policy = json.loads(
            json.dumps(policy_beside(spec, ours, self.bucket_policy).value)
        )
        self.keys[self.store_key]["policy"] = json.loads(json.dumps(key_policy(spec)))
        self.keys[self.store_key]["state"] = "Enabled"
        self.alias = self.store_key
        self.home, self.regional = [self.bucket, self.store_key], [self.bucket, self.store_key]
        self.ownership, self.restricts_public = "BucketOwnerEnforced", True


def text(document: Any) -> str:
    """A document's name for the judge: itself."""
    return json.dumps(document, sort_keys=True)


def _levels(levels: Mapping[str, Mapping[str, Json]]) -> tuple[PolicyLevel, ...]:
    return tuple(PolicyLevel(target, policies) for target, policies in levels.items())


@cache
def documents() -> Mapping[Purpose, tuple[Json, Mapping[str, Json]]]:
    """Each role's trust and its policies, from the templates."""
    known = roles.roles_of(roles.resources(roles.templates()))
    found: dict[Purpose, tuple[Json, Mapping[str, Json]]] = {}
    for purpose, arn in ROLES.items():
        if purpose is Purpose.PACKAGE:
            inline = privileges.policies(privileges.template()["Resources"])
            name = "PackageRole/packaging-and-logs"
            lambdas = {"Principal": {"Service": "lambda.amazonaws.com"}}
            trust = policy({"Effect": "Allow", **lambdas, "Action": "sts:AssumeRole"})
            found[purpose] = trust, {"packaging-and-logs": inline[name]}
        else:
            named = {name.split("/")[1]: known.documents[name] for name in known.identities[arn]}
            found[purpose] = known.documents[f"trust {arn}"], named
    return found


def healthy(purpose: Purpose, artifact: int) -> World:
    region, key = ARTIFACTS[artifact]
    if purpose is Purpose.BUILD:  # it has its pipeline's artifacts, at home
        region, key = HOME, f"{PROJECT}/{('Source', 'BuildOut', 'Tests')[artifact]}/x{artifact}"
    trust, policies = copy.deepcopy(documents()[purpose])
    plane = ControlPlane(
        TOOLS,
        HOME,
        "foothold",
        organization_ids=(ORGANIZATION,),
        reader_roles=READERS,
        reader_org_paths=(f"{ORGANIZATION}/r-root/ou-prod/*",),
        reader_accounts=(TEST,),
    )
    store_key = roles.STORES[region].key_arn
    world = World(
        purpose, region, key, trust, dict(policies), plane, None,
        {store_key: {"state": "Enabled", "policy": None, "grants": []}}, store_key,
        object_key=store_key,
    )  # fmt: skip
    world.converge()
    return world


# --- What can be broken ---------------------------------------------------------------------------

Break = Callable[[World], None]


@dataclass(frozen=True)
class Broken:
    """One fault, the link that has to be named first, and for which roles it is one."""

    name: str
    link: str
    breaks: Break
    purposes: tuple[Purpose, ...] = tuple(ROLES)


S3, KMS = "s3:GetObject", "kms:Decrypt"
SERVICE_ACTIONS = ("s3:*", "kms:*", "iam:*", "sts:*", "cloudformation:*")


def _set(name: str, value: Callable[[World], Any]) -> Break:
    return lambda world: setattr(world, name, value(world))


def _statements(world: World) -> Iterator[tuple[list[Any], int, Json]]:
    for document in world.policies.values():
        for number, statement in reversed(list(enumerate(document["Statement"]))):
            yield document["Statement"], number, statement


def _grants(statement: Json, action: str) -> bool:
    verbs = listed(statement["Action"])
    return any(one == action or (one[-1] == "*" and action.startswith(one[:-1])) for one in verbs)


def _lose(action: str) -> Break:
    """The statement that lets the role do this goes."""

    def apply(world: World) -> None:
        for body, number, statement in _statements(world):
            if _grants(statement, action):
                del body[number]

    return apply


def _change(action: str, change: Callable[[Json, World], None]) -> Break:
    def apply(world: World) -> None:
        for _, _, statement in _statements(world):
            if _grants(statement, action):
                change(statement, world)

    return apply


def _condition(operator: str, key: str, value: str) -> Callable[[Json, World], None]:
    def apply(statement: Json, _world: World) -> None:
        block = statement.setdefault("Condition", {}).setdefault(operator, {})
        block[key] = value

    return apply


def _misspelt(statement: Json, _world: World) -> None:
    statement["Action"] = [f"{one}s" for one in listed(statement["Action"])]


def _of_another(statement: Json, _world: World) -> None:
    statement["Resource"] = "arn:aws:s3:::elsewhere-*/*"


def _of_another_key(statement: Json, _world: World) -> None:
    statement["Resource"] = f"arn:aws:kms:*:{OTHER}:key/*"


def _policy(name: str, *statements: Json, exact: bool = False) -> Break:
    def apply(world: World) -> None:
        made = copy.deepcopy(list(statements))
        if exact:
            for one in made:
                one["Resource"] = world.resource
        world.policies[name] = policy(*made)

    return apply


BOUNDARY = f"arn:aws:iam::{TOOLS}:policy/boundary"


def _bounded(*statements: Json) -> Break:
    return _set("boundary", lambda _world: (BOUNDARY, policy(*statements)))


def _level(kind: str, target: str, *statements: Json, keep: bool = True) -> Break:
    def apply(world: World) -> None:
        level = getattr(world, kind)[target]
        if not keep:
            level.clear()
        level[f"p-{kind}-{target}"] = policy(*copy.deepcopy(list(statements)))

    return apply


def _rcp(action: Any, resource: str = "*", **more: Any) -> Json:
    return says("Deny", action, resource, Principal="*", **more)


def _plane(**changes: Any) -> Break:
    def apply(world: World) -> None:
        world.plane = replace(world.plane, **changes)
        world.converge()

    return apply


def _region_accounts(world: World) -> None:
    _plane(reader_accounts=(TEST, f"{world.region}={OTHER}"))(world)


def _region_paths(world: World) -> None:
    other = f"{world.region}={ORGANIZATION}/r-root/ou-test/*"
    _plane(reader_org_paths=(f"{ORGANIZATION}/r-root/ou-prod/*", other))(world)


def _in_bucket_policy(change: Callable[[list[Json], World], None]) -> Break:
    def apply(world: World) -> None:
        assert world.bucket_policy
        change(world.bucket_policy["Statement"], world)

    return apply


def _add(action: Any, principal: Any = "*", *, bucket_too: bool = False) -> Break:
    def change(body: list[Json], world: World) -> None:
        objects = f"arn:aws:s3:::{world.bucket}/*"
        resource: Any = [f"arn:aws:s3:::{world.bucket}", objects] if bucket_too else objects
        named = principal(world) if callable(principal) else principal
        body.append({**says("Deny", action, resource), "Principal": named, "Sid": "Theirs"})

    return _in_bucket_policy(change)


def _sid(sid: str, change: Callable[[Json], None]) -> Break:
    def apply(body: list[Json], _world: World) -> None:
        for one in body:
            if one["Sid"] == sid:
                change(one)

    return _in_bucket_policy(apply)


def _drop(sid: str) -> Break:
    def change(body: list[Json], _world: World) -> None:
        body[:] = [one for one in body if one.get("Sid") != sid]

    return _in_bucket_policy(change)


def _public(body: list[Json], world: World) -> None:
    opened = says("Allow", "s3:GetObject", f"arn:aws:s3:::{world.bucket}/*")
    body.append({**opened, "Principal": "*", "Sid": "Opened"})


def _other_key(state: str) -> Break:
    """The object lies under a key that somebody else let nobody of ours use."""

    def apply(world: World) -> None:
        arn = f"arn:aws:kms:{world.region}:{OTHER}:key/another"
        theirs = {"AWS": f"arn:aws:iam::{OTHER}:root"}
        document = policy({**says("Allow", "kms:*"), "Principal": theirs})
        world.keys[arn] = {"state": state, "policy": document, "grants": []}
        world.object_key = arn

    return apply


def _key(**values: Any) -> Break:
    return lambda world: world.keys[world.store_key].update(values)


def _in_key_policy(change: Callable[[list[Json]], None]) -> Break:
    return lambda world: change(world.keys[world.store_key]["policy"]["Statement"])


def _without_sid(sid: str) -> Callable[[list[Json]], None]:
    def change(body: list[Json]) -> None:
        body[:] = [one for one in body if one.get("Sid") != sid]

    return change


def _decrypting(key: str, value: Any) -> Callable[[list[Json]], None]:
    def change(body: list[Json]) -> None:
        for one in body:
            if one["Sid"] == "OrganizationDeployRolesDecryptThroughS3":
                one["Condition"]["StringEquals"][key] = value

    return change


def _key_denial(body: list[Json]) -> None:
    body.append({**says("Deny", KMS), "Principal": {"AWS": "*"}})


STALE_KEY = f"arn:aws:kms:eu-west-1:{TOOLS}:key/stale"


def _published(where: str, number: int, value: str | None) -> Break:
    def apply(world: World) -> None:
        getattr(world, where)[number] = value

    return apply


def _trusts(*statements: Json) -> Break:
    return _set("trust", lambda _world: policy(*copy.deepcopy(list(statements))))


def _ec2() -> Json:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }


def _trust_condition(operator: str, key: str, value: str) -> Break:
    def apply(world: World) -> None:
        assert world.trust
        for one in world.trust["Statement"]:
            one.setdefault("Condition", {}).setdefault(operator, {})[key] = value

    return apply


def _deny_trust(world: World) -> None:
    assert world.trust
    denial = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    if world.purpose.service:
        denial["Principal"] = {"Service": world.purpose.service}
    world.trust["Statement"].append(denial)


def _every_policy_goes(world: World) -> None:
    world.policies.clear()


IDENTITY_S3, IDENTITY_KMS = f"identity policies: {S3}", f"identity policies: {KMS}"
BOUNDARY_S3, BOUNDARY_KMS = f"boundary: {S3}", f"boundary: {KMS}"
SCP_S3, SCP_KMS = f"service control policies: {S3}", f"service control policies: {KMS}"
RCP_S3, RCP_KMS = f"resource control policies: {S3}", f"resource control policies: {KMS}"
HANDED = "CloudFormation's role"
DEPLOYS = (Purpose.DEPLOY,)
FAR_S3 = "s3.sa-east-1.amazonaws.com"
ELSEWHERE = {"StringNotEquals": {"aws:RequestedRegion": "sa-east-1"}}

CATALOGUE: tuple[Broken, ...] = (
    Broken("the role is gone", "principal", _set("trust", lambda _world: None)),
    Broken("another service is trusted", "trust", _trusts(_ec2())),
    Broken("the trust policy denies", "trust", _deny_trust),
    Broken("another account's organisation is trusted", "trust",
           _trust_condition("StringEquals", "aws:PrincipalOrgID", ANOTHER_ORGANIZATION), DEPLOYS),
    Broken("another pipeline is trusted", "trust",
           _trust_condition("ArnLike", "aws:PrincipalArn", f"{PIPELINE_ROLE}s"), DEPLOYS),
    Broken("another source account is trusted", "trust",
           _trust_condition("StringEquals", "aws:SourceAccount", OTHER),
           (*WITHIN, Purpose.CLOUDFORMATION)),
    Broken("the region is not enabled", "region", _set("enabled", lambda _world: False)),
    Broken("a boundary without S3", BOUNDARY_S3, _bounded(says("Allow", SERVICE_ACTIONS[1:]))),
    Broken("a boundary without KMS", BOUNDARY_KMS,
           _bounded(says("Allow", [one for one in SERVICE_ACTIONS if one != "kms:*"]))),
    Broken("a boundary denies reading", BOUNDARY_S3,
           _bounded(says("Allow", "*"), says("Deny", [S3, "s3:GetObjectVersion"]))),
    Broken("a boundary denies all of S3", BOUNDARY_S3,
           _bounded(says("Allow", "*"), says("Deny", "s3:*"))),
    Broken("a boundary denies decrypting", BOUNDARY_KMS,
           _bounded(says("Allow", "*"), says("Deny", KMS))),
    Broken("a boundary of another region", BOUNDARY_S3,
           _bounded(says("Allow", SERVICE_ACTIONS[1:]), says("Allow", "s3:*", Condition={
               "StringEquals": {"aws:RequestedRegion": "sa-east-1"}}))),
    Broken("the statement for S3 is gone", IDENTITY_S3, _lose(S3)),
    Broken("the statement for the key is gone", IDENTITY_KMS, _lose(KMS)),
    Broken("the action is misspelt", IDENTITY_S3, _change(S3, _misspelt)),
    Broken("the key's action is misspelt", IDENTITY_KMS, _change(KMS, _misspelt)),
    Broken("another prefix of buckets", IDENTITY_S3, _change(S3, _of_another)),
    Broken("keys of another account", IDENTITY_KMS, _change(KMS, _of_another_key)),
    Broken("through S3 of another region", IDENTITY_KMS,
           _change(KMS, _condition("StringEquals", "kms:ViaService", FAR_S3))),
    Broken("through another service", IDENTITY_KMS,
           _change(KMS, _condition("StringLike", "kms:ViaService", "lambda.*.amazonaws.com"))),
    Broken("buckets of another owner", IDENTITY_S3,
           _change(S3, _condition("StringEquals", "aws:ResourceAccount", OTHER))),
    Broken("without TLS only", IDENTITY_S3,
           _change(S3, _condition("Bool", "aws:SecureTransport", "false"))),
    Broken("every policy is gone", IDENTITY_S3, _every_policy_goes),
    Broken("a policy denies the object", IDENTITY_S3,
           _policy("theirs", says("Deny", S3), exact=True)),
    Broken("a policy denies all of S3", IDENTITY_S3, _policy("theirs", says("Deny", "s3:*"))),
    Broken("a policy denies two actions", IDENTITY_S3,
           _policy("theirs", says("Deny", [S3, "s3:PutObjectTagging"]))),
    Broken("a policy denies decrypting", IDENTITY_KMS, _policy("theirs", says("Deny", KMS))),
    Broken("a policy denies all but listing", IDENTITY_S3,
           _policy("theirs", says("Deny", "s3:Get*"), says("Allow", "s3:ListBucket"))),
    Broken("a managed policy denies decrypting", IDENTITY_KMS,
           _policy(f"arn:aws:iam::{TOOLS}:policy/quarantine", says("Deny", ["kms:Decrypt"]))),
    Broken("a managed policy denies other regions", IDENTITY_S3,
           _policy(f"arn:aws:iam::{TOOLS}:policy/home", says("Deny", "s3:*", Condition=ELSEWHERE))),
    Broken("an SCP lists no S3", SCP_S3,
           _level("service_levels", "r-root", says("Allow", SERVICE_ACTIONS[1:]), keep=False)),
    Broken("an SCP of the account lists no KMS", SCP_KMS,
           _level("service_levels", "account", says("Allow", ["s3:*", "iam:*", "sts:*"]),
                  keep=False)),
    Broken("an SCP denies reading", SCP_S3,
           _level("service_levels", "ou-prod", says("Deny", [S3, "s3:DeleteObject"]))),
    Broken("an SCP denies all of S3", SCP_S3,
           _level("service_levels", "r-root", says("Deny", "s3:*"))),
    Broken("an SCP denies all of KMS", SCP_KMS,
           _level("service_levels", "account", says("Deny", "kms:*"))),
    Broken("an SCP denies other regions", SCP_S3,
           _level("service_levels", "ou-prod", says("Deny", "s3:*", Condition=ELSEWHERE))),
    Broken("an RCP denies reading", RCP_S3, _level("resource_levels", "r-root", _rcp([S3]))),
    Broken("an RCP denies decrypting", RCP_KMS,
           _level("resource_levels", "r-root", _rcp([KMS, "kms:Encrypt"]))),
    Broken("an RCP denies other organisations", RCP_S3,
           _level("resource_levels", "r-root", _rcp([S3, "s3:PutObject"], Condition={
               "StringNotEqualsIfExists": {"aws:PrincipalOrgID": ANOTHER_ORGANIZATION}}))),
    Broken("OrganizationIds names another", "organization",
           _plane(organization_ids=(ANOTHER_ORGANIZATION,), reader_org_paths=()), ACROSS),
    Broken("OrganizationIds is empty", "organization",
           _plane(organization_ids=(), reader_org_paths=(), reader_accounts=()), ACROSS),
    Broken("ReaderRoleNames lacks it", "reader roles", _plane(reader_roles=("reader-*",)), ACROSS),
    Broken("ReaderRoleNames is empty", "reader roles", _plane(reader_roles=()), ACROSS),
    Broken("ReaderAccounts lacks it", "reader accounts", _plane(reader_accounts=(OTHER,)), ACROSS),
    Broken("ReaderAccounts of the region lacks it", "reader accounts", _region_accounts, ACROSS),
    Broken("ReaderOrgPaths lacks it", "reader paths",
           _plane(reader_org_paths=(f"{ORGANIZATION}/r-root/ou-test/*",)), ACROSS),
    Broken("ReaderOrgPaths of the region lacks it", "reader paths", _region_paths, ACROSS),
    Broken("the readers' statement is gone", "bucket policy",
           _drop("OrganizationDeployRolesRead"), ACROSS),
    Broken("the bucket policy is gone", "bucket policy",
           _set("bucket_policy", lambda _world: None), ACROSS),
    Broken("the organisation's denial was changed", "bucket policy",
           _sid("DenyOutsideOrganization", lambda one: one["Condition"].update(
               StringNotEqualsIfExists={"aws:PrincipalOrgID": ANOTHER_ORGANIZATION}))),
    Broken("the denial of plain HTTP was turned round", "bucket policy",
           _sid("DenyPlainHttp", lambda one: one.update(
               Condition={"Bool": {"aws:SecureTransport": "true"}}))),
    Broken("a denial for TLS 1.3", "bucket policy",
           _sid("DenyOldTls", lambda one: one.update(
               Condition={"NumericLessThan": {"s3:TlsVersion": "1.4"}}))),
    Broken("somebody denies reading", "bucket policy", _add(S3)),
    Broken("somebody denies everything", "bucket policy", _add("s3:*", bucket_too=True)),
    Broken("somebody denies this role", "bucket policy",
           _add(["s3:GetObject*"], lambda world: {"AWS": world.arn})),
    Broken("somebody opened the bucket", "public access", _in_bucket_policy(_public), ACROSS),
    Broken("writers own their objects", "object ownership",
           _set("ownership", lambda _world: "ObjectWriter")),
    Broken("there is no object", "object", _set("object_key", lambda _world: None)),
    Broken("the object is under another key", "object's key", _other_key("Enabled")),
    Broken("the object's other key is disabled", "object's key", _other_key("Disabled")),
    Broken("the key is disabled", "key state", _key(state="Disabled")),
    Broken("the key is to be deleted", "key state", _key(state="PendingDeletion")),
    Broken("the key's statement for readers is gone", "key policy",
           _in_key_policy(_without_sid("OrganizationDeployRolesDecryptThroughS3")), ACROSS),
    Broken("the key's statement for its account is gone", "key policy",
           _in_key_policy(_without_sid("AccountPoliciesDecide")), WITHIN),
    Broken("the key is for S3 of another region", "key policy",
           _in_key_policy(_decrypting("kms:ViaService", FAR_S3)), ACROSS),
    Broken("the key is for another organisation", "key policy",
           _in_key_policy(_decrypting("aws:PrincipalOrgID", ANOTHER_ORGANIZATION)), ACROSS),
    Broken("the key policy denies", "key policy", _in_key_policy(_key_denial)),
    Broken("the alias was moved", "alias", _set("alias", lambda _world: STALE_KEY)),
    Broken("the alias is gone", "alias", _set("alias", lambda _world: None)),
    Broken("home names another key", "parameters (home)", _published("home", 1, STALE_KEY)),
    Broken("home names another bucket", "parameters (home)", _published("home", 0, "elsewhere")),
    Broken("home names none", "parameters (home)", _published("home", 1, None)),
    Broken("the region names another key", "parameters (region)",
           _published("regional", 1, STALE_KEY)),
    Broken("the region names none", "parameters (region)", _published("regional", 0, None)),
    Broken("CloudFormation's role may not be handed over", HANDED, _lose("iam:PassRole"), DEPLOYS),
    Broken("another role may be handed over", HANDED,
           _change("iam:PassRole", lambda one, _world: one.update(
               Resource=f"arn:aws:iam::{TEST}:role/another")), DEPLOYS),
    Broken("a policy denies handing over", HANDED,
           _policy("theirs", says("Deny", "iam:PassRole")), DEPLOYS),
)  # fmt: skip
# What a fault takes along by its nature.
ALONG: Mapping[str, frozenset[str]] = {
    "every policy is gone": frozenset({IDENTITY_KMS, HANDED}),
}


# --- What is printed, done ------------------------------------------------------------------------


class NotUnderstoodError(Exception):
    """A printed fix that no interpreter of commands could run."""


def run(fix: Fix, world: World) -> None:
    """Do to the world what the command, as printed, would do to AWS."""
    if not fix.command:
        _by_template(fix, world)
        return
    words = shlex.split(fix.command)
    given = {
        name: value
        for name, value in pairwise(words)
        if name.startswith("--") and not value.startswith("--")
    }
    match words[:3]:
        case ["foothold", "plan", region]:
            _same(region, world.region)
            world.converge()
        case ["sam", "deploy", *rest]:
            _deploy(world, given["--parameter-overrides"] if rest else "")
        case ["aws", "cloudformation", "deploy"]:
            _deploy_target(world, words[words.index("--parameter-overrides") + 1 :])
        case ["aws", "codepipeline", "start-pipeline-execution"]:
            _same(given["--name"], PROJECT)
            world.object_key = world.store_key
        case ["aws", "account", "enable-region"]:
            _same(given["--region-name"], world.region)
            world.enabled = True
        case ["aws", "iam", verb]:
            _iam(verb, given, world)
        case ["aws", "organizations", "update-policy"]:
            _update_policy(given["--policy-id"], json.loads(given["--content"]), world)
        case ["aws", "s3api", verb]:
            _s3(verb, given, world)
        case _:
            raise NotUnderstoodError(fix.command)


def _same(found: str, expected: str) -> None:
    if found != expected:
        raise NotUnderstoodError(f"{found} where {expected} is meant")


def _by_template(fix: Fix, world: World) -> None:
    _same(fix.note, "deploy the stack that declares the pipeline again")
    world.trust, policies = copy.deepcopy(documents()[world.purpose])
    world.policies = dict(policies)


def _deploy(world: World, parameter: str) -> None:
    """The stack of Foothold: its roles, and with a parameter its stores."""
    if not parameter:
        world.trust, policies = copy.deepcopy(documents()[Purpose.PACKAGE])
        world.policies = dict(policies)
        return
    name, _, value = parameter.partition("=")
    fields = {
        "OrganizationIds": "organization_ids",
        "ReaderRoleNames": "reader_roles",
        "ReaderAccounts": "reader_accounts",
        "ReaderOrgPaths": "reader_org_paths",
    }
    changed: Any = {fields[name]: tuple(value.split(","))}
    world.plane = replace(world.plane, **changed)
    world.converge()


def _deploy_target(world: World, parameters: Sequence[str]) -> None:
    wanted = {
        "ToolsAccountId": TOOLS,
        "OrganizationId": ORGANIZATION,
        "PipelineRoleArns": PIPELINE_ROLE,
    }
    given = dict(one.split("=", 1) for one in parameters)
    if given != wanted:
        raise NotUnderstoodError(str(given))
    world.trust, policies = copy.deepcopy(documents()[world.purpose])
    world.policies = dict(policies)


def _iam(verb: str, given: Mapping[str, str], world: World) -> None:
    if "--role-name" in given:
        _same(given["--role-name"], world.arn.rpartition("/")[2])
    match verb:
        case "put-role-policy":
            world.policies[given["--policy-name"]] = json.loads(given["--policy-document"])
        case "delete-role-policy":
            del world.policies[given["--policy-name"]]
        case "update-assume-role-policy":
            world.trust = json.loads(given["--policy-document"])
        case "create-policy-version":
            arn, document = given["--policy-arn"], json.loads(given["--policy-document"])
            if world.boundary and world.boundary[0] == arn:
                world.boundary = arn, document
            elif arn in world.policies:
                world.policies[arn] = document
            else:
                raise NotUnderstoodError(arn)
        case _:
            raise NotUnderstoodError(verb)


def _update_policy(policy_id: str, document: Json, world: World) -> None:
    for levels in (world.service_levels, world.resource_levels):
        for level in levels.values():
            if policy_id in level:
                level[policy_id] = document
                return
    raise NotUnderstoodError(policy_id)


def _s3(verb: str, given: Mapping[str, str], world: World) -> None:
    _same(given["--bucket"], world.bucket)
    if verb == "put-bucket-policy":
        world.bucket_policy = json.loads(given["--policy"])
    elif verb == "copy-object":
        _same(given["--copy-source"], f"{world.bucket}/{world.key}")
        _same(given["--key"], world.key)
        world.object_key = given["--ssekms-key-id"]
    else:
        raise NotUnderstoodError(verb)


# --- The proof ------------------------------------------------------------------------------------


@dataclass
class Case:
    """A world with faults in it, before and after what is printed was done."""

    title: str
    world: World
    faults: tuple[Broken, ...]
    failures: list[str] = field(default_factory=list)
    before: World | None = None

    def fail(self, line: str) -> None:
        self.failures.append(f"{self.title}: {line}")


def cases(faults: Sequence[Broken] = CATALOGUE) -> list[Case]:
    """Every fault for every role and artifact that it can befall."""
    made = []
    for fault, purpose, artifact in product(faults, ROLES, range(len(ARTIFACTS))):
        if purpose in fault.purposes:
            world = healthy(purpose, artifact)
            fault.breaks(world)
            made.append(Case(f"{fault.name}, {purpose}, artifact {artifact}", world, (fault,)))
    return made


def judged(worlds: Sequence[World]) -> list[bool]:
    """Whether the call succeeds in each world, as the evaluator that is not ours says."""
    rows = [list(world.rows()) for world in worlds]
    verdicts = iter(verdicts_of([row for each in rows for row in each]))
    found = [[next(verdicts) for _ in each] for each in rows]
    return [all(each) and world.is_sound for world, each in zip(worlds, found, strict=True)]


def verdicts_of(rows: Sequence[Row]) -> list[bool]:
    named = {
        name: json.loads(name)
        for row in rows
        for name in (
            *row.identity,
            *filter(None, (row.policy, row.boundary)),
            *(each for level in (*row.service_levels, *row.resource_levels) for each in level),
        )
    }
    return allowed(named, rows)


def mend(case: Case, chain: Chain) -> None:
    for link in chain.broken:
        if link.fix is None:
            case.fail(f"{link.name} has no fix")
            continue
        try:
            run(link.fix, case.world)
        except (NotUnderstoodError, KeyError, ValueError) as error:
            case.fail(f"{link.name}: {link.fix.command}: {error!r}")


GRANTING = ("put-role-policy", "create-policy-version", "update-policy", "put-bucket-policy")


def _wider(before: World, after: World) -> list[Row]:
    """What a fix that grants has to leave refused: another object, another action."""
    return [
        world.row(action, resource)
        for world in (before, after)
        for action, resource in (
            ("s3:GetObject", f"arn:aws:s3:::{before.bucket}/elsewhere/secret"),
            ("s3:DeleteObject", before.resource),
            ("kms:CreateGrant", before.store_key),
        )
    ]


def single_faults(
    scale: Scale,
    faults: Sequence[Broken] = CATALOGUE,
    explained: Callable[[Observed], Chain] = explain,
) -> Result:
    """Of one fault the link is named, and only it, and what is printed mends it."""
    every = cases(faults)
    if not scale.full and len(every) > SAMPLE:
        every = random.Random(scale.seed).sample(every, SAMPLE)  # nosec B311  no secret
    broken = judged([case.world for case in every])
    granting: list[Case] = []
    for case, is_allowed in zip(every, broken, strict=True):
        if is_allowed:
            case.fail("the fault breaks nothing")
        case.before = copy.deepcopy(case.world)
        chain = explained(case.world.observed())
        _check_names(case, chain)
        if all(
            link.fix and any(verb in link.fix.command for verb in GRANTING) for link in chain.broken
        ):
            granting.append(case)
        mend(case, chain)
    for case, is_allowed in zip(every, judged([case.world for case in every]), strict=True):
        again = explained(case.world.observed())
        if not is_allowed:
            case.fail("what is printed does not mend it")
        if not again.holds:
            case.fail(f"afterwards it still says {[link.name for link in again.broken]}")
    probes = [_wider(case.before, case.world) for case in granting if case.before]
    verdicts = iter(verdicts_of([row for each in probes for row in each]))
    for case, each in zip(granting, probes, strict=True):
        found = [next(verdicts) for _ in each]
        half = len(found) // 2
        if any(after and not earlier for earlier, after in zip(found, found[half:], strict=False)):
            case.fail("what is printed grants more")
    failures = tuple(line for case in every for line in case.failures)
    note = f"{len(faults)} faults, {len(every)} of their {len(cases(faults))} cases"
    return Result(len(every), failures, (note,))


def _check_names(case: Case, chain: Chain) -> None:
    (fault,) = case.faults
    names = [link.name for link in chain.broken]
    if not names or names[0] != fault.link:
        case.fail(f"named {names} for {fault.link}")
    if set(names[1:]) - ALONG.get(fault.name, frozenset()):
        case.fail(f"named {names[1:]} beside it")
    if any(link.decides for link in chain.unknown):
        case.fail(f"does not know {[link.name for link in chain.unknown]}")


def no_false_alarm(scale: Scale, explained: Callable[[Observed], Chain] = explain) -> Result:
    """Of worlds in which the call succeeds, each odd in its own way, none is called broken."""
    dice = random.Random(scale.seed)  # nosec B311  no secret
    worlds = [_odd(dice) for _ in range(scale.of(SAMPLE, HEALTHY))]
    failures = []
    for world, is_allowed in zip(worlds, judged(worlds), strict=True):
        chain = explained(world.observed())
        if not is_allowed:
            failures.append(f"{world.purpose}: the healthy world is not")
        if not chain.holds:
            wrong = [link.name for link in (*chain.broken, *chain.unknown)]
            failures.append(f"{world.purpose} {world.action}: {wrong}")
    return Result(len(worlds), tuple(failures), (f"{len(worlds)} healthy pairs",))


def _odd(dice: random.Random) -> World:
    world = healthy(dice.choice(list(ROLES)), dice.randrange(len(ARTIFACTS)))
    if world.purpose in WITHIN and dice.random() < 0.3:  # noqa: PLR2004  some
        world.action = "s3:PutObject"
    world.by_region = dice.random() < 0.3  # noqa: PLR2004  some
    for change in dice.sample(_ODDITIES, dice.randrange(4)):
        change(world)
    return world


def _granted(world: World) -> None:
    if world.action == "s3:GetObject":
        world.keys[world.store_key]["grants"].append(Grant(world.arn, ("Decrypt",)))


def _wildcards(world: World) -> None:
    _plane(reader_roles=("foothold-*", "reader"))(world)


_ODDITIES: tuple[Break, ...] = (
    _granted,
    _wildcards,
    _plane(reader_accounts=(), reader_org_paths=()),
    _plane(organization_ids=(ORGANIZATION, ANOTHER_ORGANIZATION)),
    _bounded(says("Allow", "*"), says("Deny", "s3:DeleteObject")),
    _policy("read-only", says("Allow", ["s3:List*", "kms:Describe*"])),
    _policy("no-deletion", says("Deny", ["s3:Delete*", "kms:ScheduleKeyDeletion"])),
    _policy("elsewhere", says("Deny", "s3:*", "arn:aws:s3:::payroll/*")),
    _policy("regions", says("Deny", "s3:*", Condition={
        "StringEquals": {"aws:RequestedRegion": "sa-east-1"}})),
    _level("service_levels", "ou-prod", says("Deny", "organizations:LeaveOrganization")),
    _level("service_levels", "account", says("Deny", "s3:*", Condition={
        "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/foothold-*"}})),
    _level("resource_levels", "r-root", _rcp(["s3:GetObject"], Condition={
        "StringNotEqualsIfExists": {"aws:PrincipalOrgID": ORGANIZATION},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"}})),
    _in_bucket_policy(lambda body, world: body.append({
        "Sid": "Theirs", "Principal": "*",
        **says("Deny", "s3:DeleteBucket", f"arn:aws:s3:::{world.bucket}")})),
    _in_bucket_policy(lambda body, world: body.append({
        "Sid": "Theirs", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        **says("Deny", "s3:*", f"arn:aws:s3:::{world.bucket}/*")})),
)  # fmt: skip


def double_faults(scale: Scale, explained: Callable[[Observed], Chain] = explain) -> Result:
    """Of two faults at once, two rounds of what is printed leave none."""
    dice = random.Random(scale.seed)  # nosec B311  no secret
    made: list[Case] = []
    while len(made) < scale.of(SAMPLE, DOUBLE):
        purpose, artifact = dice.choice(list(ROLES)), dice.randrange(len(ARTIFACTS))
        able = [fault for fault in CATALOGUE if purpose in fault.purposes]
        faults = tuple(dice.sample(able, 2))
        world = healthy(purpose, artifact)
        try:
            for fault in faults:
                fault.breaks(world)
        except (AssertionError, AttributeError, TypeError):
            continue  # the one takes away what the other breaks
        names = " and ".join(fault.name for fault in faults)
        made.append(Case(f"{names}, {purpose}", world, faults))
    for case in made:
        for _ in range(2):
            mend(case, explained(case.world.observed()))
    for case, is_allowed in zip(made, judged([case.world for case in made]), strict=True):
        if not is_allowed:
            left = [link.name for link in explained(case.world.observed()).broken]
            case.fail(f"two rounds do not mend it: {left}")
    failures = tuple(line for case in made for line in case.failures)
    return Result(len(made), failures, (f"{len(made)} pairs of faults",))


def explanations(scale: Scale) -> Result:
    """All three."""
    return single_faults(scale) + no_false_alarm(scale) + double_faults(scale)
