"""The chain between a role and an artifact: every link with its verdict, the statement that
decides, and the smallest fix. Pure: what was observed in, links out.

The order is that in which AWS and Foothold make it: first the principal, then what its account
and its organisation let it do, then the store. What Foothold keeps is compared with what Foothold
wants: where even that refuses, a setting of the stack is the broken link, not the policy.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from foothold.explain import fixes
from foothold.explain.evaluate import (
    Json,
    Opinion,
    Request,
    StatementRef,
    Verdict,
    all_of,
    any_of,
    listed,
    matches,
    not_,
    opinion,
)
from foothold.explain.fixes import Fix, NeededAccess
from foothold.explain.observed import (
    BucketFacts,
    KeyFacts,
    Observed,
    PolicyLevel,
    RoleFacts,
    Unread,
)
from foothold.explain.principal import SESSION, Purpose, Question, asking_role
from foothold.partitions import partition_of
from foothold.pipelines.resources import (
    ARTIFACT_FOLDER,
)
from foothold.refused import BECOME
from foothold.releases.model import (
    CLOUDFORMATION_ROLE,
)
from foothold.stores.policies import OWN_SIDS, bucket_policy, key_policy

ENABLED = "Enabled"
# The action on the key that S3 does in its caller's name (Amazon S3 User Guide, "Using server-side
# encryption with AWS KMS keys").
ON_THE_KEY = {
    "s3:getobject": "kms:Decrypt",
    "s3:getobjectversion": "kms:Decrypt",
    "s3:putobject": "kms:GenerateDataKey",
}
OF_THE_BUCKET = (
    "s3:GetBucket",
    "s3:ListBucket",
    "s3:PutBucket",
    "s3:GetEncryption",
    "s3:DeleteBucket",
)
HAND = "no command says less: split the statement by hand"


class LinkVerdict(StrEnum):
    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain. `says` is one line; `statement` the one that decides, if one does."""

    name: str
    verdict: LinkVerdict
    says: str
    statement: StatementRef | None = None
    fix: Fix | None = None
    decides: bool = True  # whether not knowing it leaves the answer open

    def as_json(self) -> dict[str, Any]:
        decides = self.statement
        return {
            "link": self.name,
            "verdict": str(self.verdict),
            "says": self.says,
            "statement": None
            if decides is None
            else {"policy": decides.policy, "number": decides.number + 1, "body": decides.body},
            "fix": self.fix.as_json() if self.fix else None,
        }


@dataclass(frozen=True, slots=True)
class Chain:
    """All links, in their order."""

    question: Question
    links: tuple[Link, ...]

    @property
    def broken(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if link.verdict is LinkVerdict.BROKEN)

    @property
    def unknown(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if link.verdict is LinkVerdict.UNKNOWN)

    @property
    def holds(self) -> bool:
        """Whether no link is broken, and none is unknown that could be the broken one."""
        return not self.broken and not any(link.decides for link in self.unknown)

    def as_json(self) -> dict[str, Any]:
        asked = self.question
        return {
            "principal": asked.role.arn,
            "action": asked.action,
            "region": asked.region,
            "bucket": asked.bucket,
            "key": asked.key,
            "holds": self.holds,
            "broken": [link.name for link in self.broken],
            "unknown": [link.name for link in self.unknown],
            "links": [link.as_json() for link in self.links],
        }


def explain(seen: Observed) -> Chain:
    """Every link of the chain that could be judged, or that could not and should have been."""
    return Chain(seen.question, tuple(_Chain(seen).links()))


def to_simulate(seen: Observed) -> tuple[Mapping[str, str], Mapping[str, tuple[str, ...]]]:
    """What IAM's own simulation is to be asked: resources by action, and the context; nothing
    where the evaluator has no verdict that it could confirm.

    No resource's policy goes with it: IAM does not simulate these for roles (IAM API Reference,
    "SimulatePrincipalPolicy", ResourcePolicy).
    """
    role = seen.role
    if not isinstance(role, RoleFacts) or isinstance(role.policies, Unread):
        return {}, {}
    if not seen.question.is_about_artifacts:
        return {}, {}
    chain = _Chain(seen)
    # Some key of the deploy role's policies that is not given would leave all in doubt.
    passed = ("cloudformation.amazonaws.com",)
    context: dict[str, tuple[str, ...]] = {"iam:PassedToService": passed}
    for access in chain.accesses:
        known = chain.request(access).context
        context |= {key: values for key, values in known.items() if values}
    return {access.action: access.resource for access in chain.accesses}, context


def on_the_key(action: str) -> str | None:
    """What the action does with the key of the object; None where it touches no object."""
    return action if action.startswith("kms:") else ON_THE_KEY.get(action.lower())


def _ok(name: str, says: str, statement: StatementRef | None = None) -> Link:
    return Link(name, LinkVerdict.OK, says, statement)


def _broken(
    name: str, says: str, fix: Fix | None = None, statement: StatementRef | None = None
) -> Link:
    return Link(name, LinkVerdict.BROKEN, says, statement, fix)


def _unknown(name: str, why: str, statement: StatementRef | None = None) -> Link:
    return Link(name, LinkVerdict.UNKNOWN, why, statement)


def _confirmed(link: Link, said: Verdict) -> Link:
    """The link with what IAM's own simulation says of it: one of us is wrong where we differ, and
    nobody knows who."""
    if said is None:
        return link
    told = f"{link.says}; IAM's own simulation {'allows it' if said else 'refuses it'}"
    if link.verdict is LinkVerdict.UNKNOWN:
        return replace(link, says=told, decides=link.decides or not said)
    if said == (link.verdict is LinkVerdict.OK):
        return replace(link, says=f"{link.says}; IAM's own simulation says the same")
    return replace(link, verdict=LinkVerdict.UNKNOWN, says=told, fix=None)


class _Chain:
    def __init__(self, seen: Observed) -> None:
        self.seen = seen
        self.asked = seen.question
        self.role = seen.question.role
        self.is_other_key = self._is_other_key()
        self.accesses = list(self._accesses())

    # --- What is asked for ---------------------------------------------------------------------

    def _accesses(self) -> Iterator[NeededAccess]:
        """The action on the artifact, and what S3 then does with the key."""
        action = self.asked.action
        if not self.asked.is_about_artifacts and action != BECOME:
            yield NeededAccess(action, "*")
        if action.startswith("s3:"):
            bucket = f"arn:{self.role.partition}:s3:::{self.seen.bucket_name}"
            is_bucket = action.startswith(OF_THE_BUCKET)
            yield NeededAccess(action, bucket if is_bucket else f"{bucket}/{self._object_name}")
        key = self._key_arn()
        doing = on_the_key(action)
        if doing and key and not self._is_unencrypted():
            via = {"StringEquals": {"kms:ViaService": self._via}}
            yield NeededAccess(doing, key, None if action == doing else via)

    @property
    def _object_name(self) -> str:
        """The object's, or any that the role is to have: a build has its own pipeline's only."""
        if self.asked.key:
            return self.asked.key
        project = self.role.purpose is Purpose.BUILD and self.role.project[:ARTIFACT_FOLDER]
        return f"{project}/*" if project else "*"

    def _key_arn(self) -> str | None:
        """The key that the object is under; the store's own where there is no such object, or it
        is to be moved under it."""
        found = self.seen.object
        if found is None or isinstance(found, Unread) or self.is_other_key:
            return self.seen.store_key
        return found.key_arn or self.seen.store_key

    def _is_unencrypted(self) -> bool:
        found = self.seen.object
        reads = on_the_key(self.asked.action) == "kms:Decrypt"
        return reads and found is not None and not isinstance(found, Unread) and not found.key_arn

    def _is_other_key(self) -> bool:
        found, own = self.seen.object, self.seen.store_key
        if found is None or isinstance(found, Unread) or not self.asked.key:
            return False
        return bool(own and found.key_arn and found.key_arn != own)

    @property
    def _via(self) -> str:
        region = self.asked.region
        return f"s3.{region}.{partition_of(region).dns_suffix}"

    def request(self, access: NeededAccess) -> Request:
        membership = self.seen.membership
        context: dict[str, tuple[str, ...]] = {
            "aws:PrincipalArn": (self.role.arn,),
            "aws:PrincipalAccount": (self.role.account,),
            "aws:PrincipalType": ("AssumedRole",),
            "aws:PrincipalIsAWSService": ("false",),
            "aws:SecureTransport": ("true",),
            "aws:ResourceAccount": (self.seen.owner,),
            "aws:RequestedRegion": (self.asked.region,),
        }
        for name, fact in (
            ("aws:PrincipalOrgID", membership.organization),
            ("aws:PrincipalOrgPaths", membership.path),
        ):
            if not isinstance(fact, Unread):
                context[name] = (fact,) if fact else ()
        if access.action.startswith("kms:"):
            asked_by_s3 = self.asked.action.startswith("s3:")
            bucket = f"arn:{self.role.partition}:s3:::{self.seen.bucket_name}"
            context["kms:CallerAccount"] = (self.role.account,)
            context["kms:ViaService"] = (self._via,) if asked_by_s3 else ()
            context["kms:EncryptionContext:aws:s3:arn"] = (bucket,) if asked_by_s3 else ()
        elif access.action.startswith("s3:"):
            context |= self._headers(access)
        resource = access.resource if self.asked.is_about_artifacts else None
        return Request(self.role.arn, self.role.account, access.action, resource, context)

    def _headers(self, access: NeededAccess) -> dict[str, tuple[str, ...]]:
        """Of a write those that Foothold sends."""
        writes = access.action.lower() == "s3:putobject"
        key = self.seen.store_key
        encryption = "s3:x-amz-server-side-encryption"
        return {
            "s3:TlsVersion": ("1.3",),
            encryption: ("aws:kms",) if writes else (),
            f"{encryption}-aws-kms-key-id": (key,) if writes and key else (),
            f"{encryption}-customer-algorithm": (),
        }

    # --- The links, in their order ---------------------------------------------------------------

    def links(self) -> Iterator[Link]:
        role = self.seen.role
        if isinstance(role, RoleFacts):
            yield _ok("principal", f"{self.role.arn} is {self.role.purpose}")
            if self.asked.action == BECOME:
                yield self._trust(role)
                return
            yield self._region()
            yield self._trust(role)
            if not self.asked.is_about_artifacts:
                # What the action is done to is not known, so any change could be too wide.
                mends = self._from_its_template
                yield from (replace(link, fix=mends) for link in self._policies(role))
                return
            yield from self._policies(role)
            if self.role.purpose is Purpose.DEPLOY:
                yield self._pass_role(role)
        else:
            yield self._no_role(role)
            yield self._region()
            if not self.asked.is_about_artifacts:
                return
        yield from self._organization()
        yield from self._store()

    def _no_role(self, role: Unread | None) -> Link:
        if role is not None:
            return _unknown("principal", role.why)
        purpose, owner = self.role.purpose, self.seen.owner
        fix = Fix("", self.role.account, "create the role")
        if of_its_template := self._from_its_template:
            fix = of_its_template
        elif purpose is Purpose.PACKAGE:
            fix = Fix("sam deploy", owner, "in a checkout of Foothold")
        elif purpose in {Purpose.PIPELINE, Purpose.BUILD}:
            fix = Fix("", owner, "deploy the stack that declares the pipeline again")
        return _broken("principal", f"there is no role {self.role.arn}", fix)

    @property
    def _from_its_template(self) -> Fix | None:
        """What makes a role again that pipelines/target-account.yaml makes."""
        made = {Purpose.DEPLOY, Purpose.CLOUDFORMATION, Purpose.READER}
        return self._deploy_target_account() if self.role.purpose in made else None

    def _deploy_target_account(self) -> Fix:
        organization = self.seen.membership.owners
        known = organization if isinstance(organization, str) else "ORGANIZATION"
        return Fix(
            fixes.command(
                *("aws", "cloudformation", "deploy", "--stack-name", "foothold-target"),
                *("--template-file", "pipelines/target-account.yaml"),
                *("--capabilities", "CAPABILITY_NAMED_IAM", "--parameter-overrides"),
                f"ToolsAccountId={self.seen.owner}",
                f"OrganizationId={known}",
                f"PipelineRoleArns={self._caller() or 'ARN'}",
            ),
            self.role.account,
            "in a checkout of Foothold; a stack whose role was deleted by hand is deleted first",
        )

    def _caller(self) -> str | None:
        """The role that is to become the deploy role: that of the pipeline whose artifact it is."""
        if self.asked.caller:
            return asking_role(self.asked.caller).arn
        if not self.asked.key:
            return None
        project = self.asked.key.partition("/")[0]
        return f"arn:{self.role.partition}:iam::{self.seen.owner}:role/foothold-{project}-pipeline"

    def _region(self) -> Link:
        enabled, region = self.seen.region_enabled, self.asked.region
        if isinstance(enabled, Unread):
            return _unknown("region", enabled.why)
        if enabled:
            return _ok("region", f"account {self.role.account} has {region}")
        return _broken(
            "region",
            f"account {self.role.account} has not enabled {region}",
            Fix(
                fixes.command("aws", "account", "enable-region", "--region-name", region),
                self.role.account,
                "it takes minutes; or let the target follow all regions but this one",
            ),
        )

    def _trust(self, role: RoleFacts) -> Link:
        purpose = self.role.purpose
        if purpose in {Purpose.DEPLOY, Purpose.READER}:
            caller, account = self._caller(), self.seen.owner
            context = {"aws:PrincipalArn": (caller,)} if caller else {}
            who = caller or f"the pipelines of account {account}"
            principal = caller or f"arn:{self.role.partition}:iam::{account}:role/some-pipeline"
            added: Json = self._let_pipeline_in(caller)
            note = "PipelineRoleArns of pipelines/target-account.yaml should say the same"
        else:
            service = purpose.service
            if service is None:
                return _ok("trust", "who may be this role is not Foothold's")
            account, context, who, principal = "", {}, service, service
            added = {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
            }
            note = "the template that makes the role should say the same"
        known = self._trust_context(context, account)
        request = Request(principal, account, "sts:AssumeRole", self.role.arn, known)
        found = opinion({"the trust policy": role.trust}, request)
        unnamed = not context and account and self.asked.action != BECOME
        if found.granted or (found.granted is None and unnamed):
            return _ok("trust", f"it lets {who} in", found.allowing)
        if found.denied:
            assert found.denying  # it denies
            ref, fix = found.denying, None
            key = "aws:PrincipalServiceName" if purpose.service else "aws:PrincipalArn"
            if spared := fixes.sparing(ref, role.trust, key, principal):
                fix = fixes.change_trust(self.role.name, self.role.account, spared)
            return _broken("trust", f"it denies {who}{_by_hand(fix)}", fix, ref)
        if found.granted is None or SESSION.fullmatch(self.asked.caller or ""):
            more = "; a session tells no path: name the role itself by --caller ROLE_ARN"
            says = f"whether it lets {who} in hangs on more than can be seen"
            return _unknown("trust", f"{says}{more if account else ''}")
        statements = [*listed(role.trust.get("Statement", ())), added]
        fix = fixes.change_trust(self.role.name, self.role.account, statements, note)
        return _broken("trust", f"no statement lets {who} in", fix)

    def _trust_context(
        self, context: Mapping[str, tuple[str, ...]], account: str
    ) -> dict[str, tuple[str, ...]]:
        known = dict(context)
        if account:
            known["aws:PrincipalAccount"] = (account,)
            organization = self.seen.membership.owners
            if isinstance(organization, str):
                known["aws:PrincipalOrgID"] = (organization,)
        else:
            known["aws:SourceAccount"] = (self.role.account,)
            known["aws:PrincipalServiceName"] = (str(self.role.purpose.service),)
        return known

    def _let_pipeline_in(self, caller: str | None) -> dict[str, Any]:
        condition: dict[str, Any] = {}
        if caller:
            condition["ArnLike"] = {"aws:PrincipalArn": caller}
        organization = self.seen.membership.owners
        if isinstance(organization, str):
            condition["StringEquals"] = {"aws:PrincipalOrgID": organization}
        root = f"arn:{self.role.partition}:iam::{self.seen.owner}:root"
        return {
            "Effect": "Allow",
            "Principal": {"AWS": root},
            "Action": "sts:AssumeRole",
            "Condition": condition,
        }

    def _policies(self, role: RoleFacts) -> Iterator[Link]:
        for access in self.accesses:
            said = self.seen.simulated.get(access.action)
            yield _confirmed(self._boundary(role, access), said.boundary if said else None)
        for access in self.accesses:
            yield self._identity(role, access)
        for access in self.accesses:
            yield from self._levels(access)

    def _boundary(self, role: RoleFacts, access: NeededAccess) -> Link:
        name = f"boundary: {access.action}"
        if isinstance(role.boundary, Unread):
            return _unknown(name, role.boundary.why)
        if role.boundary is None:
            return _ok(name, "the role has none")
        arn, document = role.boundary
        found = opinion({arn: document}, self.request(access))
        if found.granted:
            return _ok(name, f"{arn} allows it", found.allowing)
        if found.granted is None:
            return _unknown(name, _hangs(found), found.deciding)
        statements = listed(document.get("Statement", ()))
        if found.denied:
            assert found.denying  # it denies
            less = fixes.without(found.denying, access, document)
            fix = fixes.change_managed_policy(arn, self.role.account, less) if less else None
            return _broken(name, f"{arn} denies it{_by_hand(fix)}", fix, found.denying)
        wider = [*statements, access.statement]
        fix = fixes.change_managed_policy(arn, self.role.account, wider)
        return _broken(name, f"{arn} does not allow it", fix)

    def _identity(self, role: RoleFacts, access: NeededAccess) -> Link:
        said = self.seen.simulated.get(access.action)
        link = _confirmed(self._own_policies(role, access), said.identity if said else None)
        silent = link.verdict is LinkVerdict.BROKEN and link.statement is None
        if silent and self.seen.same_account and self._resource_lets_in(access):
            return _ok(link.name, "they need not: the resource's own policy lets the role in")
        return link

    def _own_policies(self, role: RoleFacts, access: NeededAccess) -> Link:
        return self._by_role(
            f"identity policies: {access.action}",
            role,
            access,
            self.request(access),
            allowed="they allow it",
            denied="denies it",
            silent="no statement allows it",
        )

    def _by_role(
        self,
        name: str,
        role: RoleFacts,
        access: NeededAccess,
        request: Request,
        *,
        allowed: str,
        denied: str,
        silent: str,
    ) -> Link:
        """What the role's own policies say to a request, in these words."""
        if isinstance(role.policies, Unread):
            return _unknown(name, role.policies.why)
        found = opinion(role.policies, request)
        if found.granted:
            return _ok(name, allowed, found.allowing)
        if found.granted is None:
            return _unknown(name, _hangs(found), found.deciding)
        if found.denied:
            assert found.denying  # it denies
            ref = found.denying
            less = fixes.without(ref, access, role.policies[ref.policy])
            fix = None
            if less is not None:
                fix = fixes.change_role_policy(self.role.name, self.role.account, ref.policy, less)
            return _broken(name, f"{ref.policy} {denied}{_by_hand(fix)}", fix, ref)
        return _broken(name, silent, fixes.allow_role(self.role.name, self.role.account, access))

    def _resource_lets_in(self, access: NeededAccess) -> bool:
        """Within an account the resource's policy alone may let the role in by its name."""
        if access.action.startswith("kms:"):
            key = self.seen.key
            if not isinstance(key, KeyFacts):
                return False
            found = opinion({"key": key.policy}, self.request(access))
            return bool(found.granted and found.direct) or self._has_grant(key, access.action)
        bucket = self.seen.bucket
        if not isinstance(bucket, BucketFacts):
            return False
        found = opinion({"bucket": bucket.policy}, self.request(access))
        return bool(found.granted and found.direct)

    def _has_grant(self, key: KeyFacts, action: str) -> bool:
        grants = () if isinstance(key.grants, Unread) else key.grants
        verb = action.removeprefix("kms:")
        return any(one.grantee == self.role.arn and verb in one.operations for one in grants)

    def _levels(self, access: NeededAccess) -> Iterator[Link]:
        """At every level of the organisation, from its root to the account, some policy has to
        allow (AWS Organizations User Guide, "SCP evaluation")."""
        membership = self.seen.membership
        for kind, levels, allows in (
            ("service control policies", membership.service_levels, True),
            ("resource control policies", membership.resource_levels, False),
        ):
            name = f"{kind}: {access.action}"
            simulated = self.seen.simulated.get(access.action) if allows else None
            said = simulated.organization if simulated else None
            if isinstance(levels, Unread):
                # Hardly anybody may read them, and hardly any is about artifacts: no alarm.
                link = Link(name, LinkVerdict.UNKNOWN, levels.why, decides=False)
            else:
                link = self._level(name, levels, access, must_allow=allows)
            yield _confirmed(link, said)

    def _level(
        self, name: str, levels: tuple[PolicyLevel, ...], access: NeededAccess, *, must_allow: bool
    ) -> Link:
        unclear: Link | None = None
        for level in levels:
            found = opinion(level.policies, self.request(access))
            if found.denied:
                assert found.denying  # it denies
                ref = found.denying
                less = fixes.without(ref, access, level.policies[ref.policy])
                # RCPs know no NotAction (AWS Organizations User Guide, "RCP syntax").
                if less and not must_allow and any("NotAction" in one for one in less):
                    less = None
                fix = fixes.change_organization_policy(ref.policy, less) if less else None
                return _broken(
                    name, f"{ref.policy} on {level.target} denies it{_by_hand(fix)}", fix, ref
                )
            if must_allow and found.allowed is False:
                policy = next(iter(level.policies), None)
                fix = None
                if policy:
                    statements = listed(level.policies[policy].get("Statement", ()))
                    wider = [*statements, access.statement]
                    fix = fixes.change_organization_policy(policy, wider)
                return _broken(name, f"no policy on {level.target} allows it", fix)
            if found.denied is None or (must_allow and found.allowed is None):
                unclear = unclear or _unknown(name, _hangs(found), found.deciding)
        return unclear or _ok(name, "none refuses")

    def _pass_role(self, role: RoleFacts) -> Link:
        passed = f"arn:{self.role.partition}:iam::{self.role.account}:role/{CLOUDFORMATION_ROLE}"
        service = "cloudformation.amazonaws.com"
        access = NeededAccess(
            "iam:PassRole", passed, {"StringEquals": {"iam:PassedToService": service}}
        )
        plain = self.request(access)
        context = {**plain.context, "iam:PassedToService": (service,)}
        return self._by_role(
            "CloudFormation's role",
            role,
            access,
            Request(plain.principal, plain.account, plain.action, passed, context),
            allowed="the deploy role may hand it over",
            denied="denies iam:PassRole",
            silent=f"the deploy role may not hand {passed} over",
        )

    # --- Whom the store is for -------------------------------------------------------------------

    def _organization(self) -> Iterator[Link]:
        """The settings of the stack that let other accounts in. Where the store's policies let the
        role in as they are, they hold."""
        if self.seen.same_account:
            return
        plane = self.seen.plane
        if isinstance(plane, Unread):
            if all(self._resource_lets_in(access) for access in self.accesses):
                yield _ok("organization", "the store's policies let the role in")
            else:
                yield _unknown("organization", plane.why)
            return
        membership = self.seen.membership
        organization = membership.organization
        owner, ids = plane.account, plane.organization_ids
        if isinstance(organization, Unread):
            yield _unknown("organization", organization.why)
        elif organization is None:
            yield _broken(
                "organization", f"account {self.role.account} is in no organisation: let it join"
            )
        elif organization in ids:
            yield _ok("organization", f"{organization} is one of OrganizationIds")
        else:
            fix = fixes.stack_parameter("OrganizationIds", [*ids, organization], owner)
            yield _broken("organization", f"{organization} is none of OrganizationIds", fix)
        yield self._reader_role()
        yield from self._narrowed()

    def _reader_role(self) -> Link:
        plane = self.seen.plane
        assert not isinstance(plane, Unread)  # asked before
        names = plane.reader_roles
        if any(matches(name, self.role.path) for name in names):
            return _ok("reader roles", f"{self.role.name} is one of ReaderRoleNames")
        fix = fixes.stack_parameter("ReaderRoleNames", [*names, self.role.path], plane.account)
        return _broken("reader roles", f"{self.role.name} is none of ReaderRoleNames", fix)

    def _narrowed(self) -> Iterator[Link]:
        plane, spec = self.seen.plane, self.seen.spec
        assert spec  # there is a plane
        assert not isinstance(plane, Unread)  # asked before
        accounts, paths = spec.reader_accounts, spec.reader_org_paths
        account, path, region = self.role.account, self.seen.membership.path, self.asked.region
        if accounts and account not in accounts:
            added = [*plane.reader_accounts, _entry(plane.reader_accounts, region, account)]
            fix = fixes.stack_parameter("ReaderAccounts", added, plane.account)
            yield _broken("reader accounts", f"{account} is none of ReaderAccounts", fix)
        elif accounts:
            yield _ok("reader accounts", f"{account} is one of ReaderAccounts")
        if not paths:
            return
        if isinstance(path, Unread):
            yield _unknown("reader paths", path.why)
        elif path and any(matches(one, path) for one in paths):
            yield _ok("reader paths", f"{path} is below one of ReaderOrgPaths")
        elif path:
            added = [*plane.reader_org_paths, _entry(plane.reader_org_paths, region, path)]
            fix = fixes.stack_parameter("ReaderOrgPaths", added, plane.account)
            yield _broken("reader paths", f"{path} is below none of ReaderOrgPaths", fix)
        else:
            yield _broken("reader paths", f"account {account} has no place in an organisation")

    # --- The store -------------------------------------------------------------------------------

    def _store(self) -> Iterator[Link]:
        if self._is_no_store():
            region = self.asked.region
            fix = fixes.make_store(region, self.seen.owner)
            yield _broken("store", f"{region} has no artifact store", fix)
            return
        on_key = [access for access in self.accesses if access.action.startswith("kms:")]
        for access in self.accesses:
            if access not in on_key:
                yield from self._bucket_links(access)
        if self.asked.key and self.asked.action.startswith("s3:"):
            yield from self._object_links()
        yield from self._key_links(on_key)
        yield from self._published_links()

    def _is_no_store(self) -> bool:
        """Whether nothing at all of a store is there."""
        seen, nothing = self.seen, (None, None)
        parts = (seen.bucket, seen.key, seen.alias, seen.object)
        return not any(parts) and seen.published.home == seen.published.regional == nothing

    def _bucket_links(self, access: NeededAccess) -> Iterator[Link]:
        bucket = self.seen.bucket
        if isinstance(bucket, Unread):
            yield _unknown("bucket policy", bucket.why)
            return
        if bucket is None:
            yield _broken("bucket", f"there is no bucket {self.seen.bucket_name}", self._foothold)
            return
        yield self._bucket_policy(bucket, access)
        if isinstance(bucket.restricts_public, Unread):
            yield _unknown("public access", bucket.restricts_public.why)
        else:
            yield self._public_access(bucket)
        if isinstance(bucket.ownership, Unread):
            yield _unknown("object ownership", bucket.ownership.why)
        elif bucket.ownership == "BucketOwnerEnforced":
            yield _ok("object ownership", "the bucket's owner owns its objects")
        else:
            yield _broken(
                "object ownership",
                f"{bucket.ownership or 'nothing'}: who writes an object may keep it",
                self._foothold,
            )

    @property
    def _foothold(self) -> Fix:
        return fixes.let_foothold(self.asked.region, self.seen.owner)

    def _bucket_policy(self, bucket: BucketFacts, access: NeededAccess) -> Link:
        name = "bucket policy"
        if isinstance(bucket.policy, Unread):
            return _unknown(name, bucket.policy.why)
        request = self.request(access)
        found = opinion({"the bucket policy": bucket.policy}, request)
        if self._decides(found):
            return _ok(name, "it lets the role in", found.allowing)
        foreign = found.denying if found.denied else None
        if foreign and foreign.sid not in OWN_SIDS and bucket.policy:
            arn = f"arn:{self.role.partition}:s3:::{self.seen.bucket_name}"
            less = fixes.without(foreign, access, bucket.policy, arn)
            fix = None
            if less is not None:
                where = self.seen.bucket_name, self.seen.owner
                fix = fixes.change_bucket_policy(*where, bucket.policy, less)
            return _broken(
                name, f"a statement that is not Foothold's denies it{_by_hand(fix)}", fix, foreign
            )
        spec, key = self.seen.spec, self.seen.store_key
        wanted = bucket_policy(spec, key) if spec and key else None
        return self._kept(name, found, wanted, request, self._decides)

    def _decides(self, found: Opinion) -> Verdict:
        """Whether a resource's policy lets the role in: within the account it need not."""
        return not_(found.denied) if self.seen.same_account else found.granted

    def _kept(
        self,
        name: str,
        found: Opinion,
        wanted: Json | None,
        request: Request,
        judge: Callable[[Opinion], Verdict],
    ) -> Link:
        """A policy that Foothold keeps and that refuses: has somebody changed it, or is it meant
        so?"""
        if judge(found) is None:
            return _unknown(name, _hangs(found), found.deciding)
        if wanted is None:
            says = "it does not let the role in; whether Foothold means it so cannot be told"
            return _broken(name, says, None, found.deciding)
        meant = opinion({f"the {name}": wanted}, request)
        lets_in = judge(meant)
        if lets_in:
            says = "it is not what Foothold keeps, and does not let the role in"
            return _broken(name, says, self._foothold, found.denying)
        if lets_in is None:
            return _unknown(name, _hangs(meant), meant.deciding)
        if self._explained_by_settings():
            return _ok(name, "as Foothold keeps it: the settings above decide", meant.denying)
        return _broken(
            name,
            "Foothold keeps it so, on purpose: this is let to nobody like this role",
            None,
            meant.denying,
        )

    def _explained_by_settings(self) -> bool:
        return any(link.verdict is not LinkVerdict.OK for link in self._organization())

    def _public_access(self, bucket: BucketFacts) -> Link:
        name = "public access"
        if isinstance(bucket.policy, Unread) or not bucket.policy:
            return _ok(name, "no policy opens the bucket")
        opening = next((ref for ref in _public(bucket.policy) if ref.sid not in OWN_SIDS), None)
        if opening and bucket.restricts_public and not self.seen.same_account:
            says = "a statement opens the bucket to everybody, so S3 lets in no other account"
            return _broken(name, says, self._foothold, opening)
        return _ok(name, "no statement makes the bucket public")

    def _object_links(self) -> Iterator[Link]:
        found = self.seen.object
        asked = f"s3://{self.seen.bucket_name}/{self.asked.key}"
        writes = self.asked.action.lower().startswith("s3:put")
        if isinstance(found, Unread):
            yield _unknown("object", found.why)
        elif found is None:
            if not writes:
                yield _broken("object", f"there is no {asked}", self._package_again())
        else:
            yield _ok("object", f"{asked} is there")
            if not writes:
                yield self._object_key()

    def _package_again(self) -> Fix:
        project = (self.asked.key or "").partition("/")[0]
        return Fix(
            fixes.command("aws", "codepipeline", "start-pipeline-execution", "--name", project),
            self.seen.owner,
            "or `foothold package` with the same build, where a person packaged it",
        )

    def _object_key(self) -> Link:
        """An object that somebody wrote under another key is read only by who may use that."""
        found, own, name = self.seen.object, self.seen.store_key, "object's key"
        assert found is not None and not isinstance(found, Unread)  # noqa: PT018  one fact
        if found.key_arn is None:
            return _ok(name, "no key of KMS encrypts it")
        if own is None:
            return _unknown(
                name, f"it is under {found.key_arn}, and the store's own key is unclear"
            )
        if found.key_arn == own:
            return _ok(name, "it is the store's own")
        says = f"{found.key_arn} is not the store's own {own}"
        key = self.seen.key
        usable = self._may_use(key) if isinstance(key, KeyFacts) else None
        if usable:
            return _ok(name, f"{says}, but the role may use it")
        bucket = self.seen.bucket_name
        copy = (
            *("aws", "s3api", "copy-object", "--bucket", bucket, "--key", str(self.asked.key)),
            *("--copy-source", f"{bucket}/{self.asked.key}", "--server-side-encryption", "aws:kms"),
            *("--ssekms-key-id", own),
        )
        fix = Fix(fixes.command(*copy), self.seen.owner, "as somebody who may use both keys")
        if isinstance(key, KeyFacts) and key.state != ENABLED:
            fix = self._package_again()
        return _broken(name, says, fix)

    def _may_use(self, key: KeyFacts) -> Verdict:
        if key.state != ENABLED or not isinstance(self.seen.role, RoleFacts):
            return False
        access = NeededAccess(on_the_key(self.asked.action) or "", key.arn)
        request = self.request(access)
        policies = self.seen.role.policies
        if isinstance(policies, Unread) or isinstance(key.policy, Unread):
            return None
        mine, its = opinion(policies, request), opinion({"key": key.policy}, request)
        if self.seen.same_account:
            return all_of([its.granted, any_of([its.direct or False, mine.granted])])
        return all_of([its.granted, mine.granted])

    def _key_links(self, on_key: list[NeededAccess]) -> Iterator[Link]:
        if self.is_other_key:
            return
        if not on_key:
            if on_the_key(self.asked.action) and not self._is_unencrypted():
                yield _unknown("key", "which key is the store's cannot be told")
            return
        (access,) = on_key
        key = self.seen.key
        if isinstance(key, Unread):
            yield _unknown("key", key.why)
            return
        if key is None:
            yield _broken("key", f"there is no key {access.resource}", self._foothold)
            return
        if key.state == ENABLED:
            yield _ok("key state", f"{key.arn} is enabled")
        else:
            yield _broken("key state", f"{key.arn} is {key.state}", self._foothold)
        yield self._key_policy(key, access)

    def _key_policy(self, key: KeyFacts, access: NeededAccess) -> Link:
        name = "key policy"
        if isinstance(key.policy, Unread):
            return _unknown(name, key.policy.why)
        request = self.request(access)
        found = opinion({"the key policy": key.policy}, request)
        if found.granted:
            return _ok(name, "it lets the role in", found.allowing)
        if not found.denied and self._has_grant(key, access.action):
            return _ok(name, "a grant lets the role in")
        if found.granted is False and not found.denied and isinstance(key.grants, Unread):
            return _unknown(name, f"it does not let the role in, and a grant may: {key.grants.why}")
        spec = self.seen.spec
        wanted = key_policy(spec) if spec else None
        return self._kept(name, found, wanted, request, lambda one: one.granted)

    def _published_links(self) -> Iterator[Link]:
        published, own = self.seen.published, self.seen.store_key
        alias = self.seen.alias
        if isinstance(alias, Unread):
            yield _unknown("alias", alias.why)
        elif alias is None or (own and alias != own):
            says = (
                "it is gone"
                if alias is None
                else f"it points at {alias}, which is not the store's key"
            )
            yield _broken("alias", says, self._foothold)
        elif own:
            yield _ok("alias", "it points at the store's key")
        else:
            yield _unknown(
                "alias", f"it points at {alias}, and no two of it and the parameters agree"
            )
        bucket = self._real_bucket
        for where, pair in (("home", published.home), ("region", published.regional)):
            name = f"parameters ({where})"
            if isinstance(pair, Unread):
                # Whoever asks for an artifact by its address has not been misled by them.
                yield Link(name, LinkVerdict.UNKNOWN, pair.why, decides=not self.asked.key)
            elif None in pair:
                yield _broken(name, "the store is not published there", self._foothold)
            elif pair[0] != bucket or (own and pair[1] != own):
                says = f"they name {pair[0]} and {pair[1]}, which are not the store's"
                yield _broken(name, says, self._foothold)
            else:
                yield _ok(name, "they name the store")

    @property
    def _real_bucket(self) -> str:
        spec = self.seen.spec
        return spec.bucket if spec else self.seen.bucket_name


def _by_hand(fix: Fix | None) -> str:
    return "" if fix else f"; {HAND}"


def _hangs(found: Opinion) -> str:
    ref = found.deciding
    return f"{ref or 'it'} hangs on what cannot be seen from here"


def _entry(entries: tuple[str, ...], region: str, value: str) -> str:
    """An entry for this region only, where the region has entries of its own: else it would take
    the place of those for all regions."""
    return f"{region}={value}" if any(one.startswith(f"{region}=") for one in entries) else value


def _public(policy: Json) -> Iterator[StatementRef]:
    """Statements that let everybody in, on no condition (Amazon S3 User Guide, "Blocking public
    access": the meaning of public)."""
    for number, statement in enumerate(listed(policy.get("Statement", ()))):
        principal = statement.get("Principal") if isinstance(statement, Mapping) else None
        everybody = principal in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        if everybody and statement.get("Effect") == "Allow" and not statement.get("Condition"):
            yield StatementRef("the bucket policy", number, statement)
