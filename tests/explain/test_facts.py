"""What is read of AWS for one question, on moto: at most twelve reads, and no write."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID

from foothold.errors import PermanentError
from foothold.explain.chain import LinkVerdict, explain
from foothold.explain.gateways import facts
from foothold.explain.gateways.facts import READS, AwsObserver
from foothold.explain.gateways.organization import OrganizationPolicies
from foothold.explain.observed import Membership, RoleFacts, Unread
from foothold.explain.principal import Purpose, Question, asking_role
from foothold.stores.model import ControlPlane
from foothold.stores.policies import bucket_policy, key_policy
from foothold.stores.register import Names
from proof import decisions
from proof.explained import PROJECT, ROLES, documents, policy, says

TOOLS, TEST = DEFAULT_ACCOUNT_ID, "222222222222"
HOME: Any = "eu-central-1"
REGION: Any = "eu-west-1"
KEY = f"{PROJECT}/builds/0123abcd"
DEPLOY = ROLES[Purpose.DEPLOY]


def template_of_the_role(organization: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its trust and its policies, for the accounts that there are here."""
    text = json.dumps(documents()[Purpose.DEPLOY]).replace(decisions.ORGANIZATION, organization)
    trust, policies = json.loads(text.replace(decisions.TOOLS, TOOLS))
    return trust, policies


class TwoAccounts:
    """The Tools account with a store in `REGION`, and a target account with a deploy role.

    Every call that the observer makes is counted; those in `refused` are refused.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        # moto does not simulate.
        self.refused: set[str] = {"SimulatePrincipalPolicy"}
        self.simulated: Any = None
        self.simulating: dict[str, Any] = {}
        self.asked = False
        self.tools = boto3.Session("tools", "secret", region_name=HOME)
        self.test = self._in_the_target_account()
        organization: Any = self.test.client("organizations").create_organization(FeatureSet="ALL")
        self.plane = ControlPlane(
            TOOLS,
            HOME,
            "foothold",
            organization_ids=(organization["Organization"]["Id"],),
            reader_roles=("foothold-deploy", "foothold-cloudformation"),
        )
        self._make_store()
        self._make_role(organization["Organization"]["Id"])
        self.asked = True

    def _in_the_target_account(self) -> boto3.Session:
        role = f"arn:aws:iam::{TEST}:role/administrator"
        lent = self.tools.client("sts").assume_role(RoleArn=role, RoleSessionName="tests")
        found = lent["Credentials"]
        return boto3.Session(
            found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], HOME
        )

    def _make_store(self) -> None:
        kms, s3 = self.tools.client("kms", REGION), self.tools.client("s3", REGION)
        spec = self.plane.spec(REGION)
        policy = json.dumps(key_policy(spec))
        self.key_arn = kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
        kms.create_alias(AliasName=self.plane.key_alias, TargetKeyId=self.key_arn)
        self.bucket = spec.bucket
        there: Any = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=there)
        rules: Any = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(Bucket=self.bucket, OwnershipControls=rules)
        s3.put_object(
            Bucket=self.bucket,
            Key=KEY,
            Body=b"x",
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=self.key_arn,
        )
        # moto takes every denial for meant, whatever its condition.
        kept = dict(bucket_policy(spec, self.key_arn))
        kept["Statement"] = [one for one in kept["Statement"] if one["Effect"] == "Allow"]
        s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(kept))
        for region, path in ((HOME, spec.home_path), (REGION, spec.regional_path)):
            for name, value in spec.parameters(path, self.key_arn).items():
                ssm: Any = self.tools.client("ssm", region)
                ssm.put_parameter(Name=name, Value=value, Type="String")
        function: Any = {"Name": "/foothold/reconcile-function", "Value": "reconcile"}
        self.tools.client("ssm", HOME).put_parameter(**function, Type="String")

    def _make_role(self, organization: str) -> None:
        iam = self.test.client("iam")
        trust, policies = template_of_the_role(organization)
        iam.create_role(RoleName="foothold-deploy", AssumeRolePolicyDocument=json.dumps(trust))
        for name, document in policies.items():
            put = {"RoleName": "foothold-deploy", "PolicyName": name}
            iam.put_role_policy(**put, PolicyDocument=json.dumps(document))

    def client(self, service: str, account: str, region: str) -> Any:
        session = self.tools if account == TOOLS else self.test
        make: Any = session.client
        made = make(service, region_name=region)
        made.meta.events.register("before-call", self._count)
        return made

    def _count(self, model: Any, params: Any, **_: Any) -> Any:
        self.calls.append(model.name)
        if model.name == "SimulatePrincipalPolicy" and self.simulated is not None:
            self.simulating = params["body"]
            simulated: Any = AWSResponse("", 200, HTTPHeaders(), None)
            return simulated, {"EvaluationResults": self.simulated}
        if model.name in self.refused:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, model.name)
        if model.name == "GetFunctionConfiguration":  # moto makes no function without Docker
            answer: Any = AWSResponse("", 200, HTTPHeaders(), None)
            return answer, {"Environment": {"Variables": {}}}
        return None

    def observer(self, organization: OrganizationPolicies | None = None) -> AwsObserver:
        return AwsObserver(
            lambda: TOOLS,
            HOME,
            Names("/foothold"),
            self.client,
            lambda _variables: self.plane,
            organization=organization,
        )

    def question(self, key: str | None = KEY) -> Question:
        return Question(asking_role(DEPLOY), "s3:GetObject", REGION, self.bucket, key)


@pytest.fixture
def accounts() -> Iterator[TwoAccounts]:
    with mock_aws():
        yield TwoAccounts()


def test_everything_between_a_role_and_an_artifact_is_seen_in_twelve_reads(
    accounts: TwoAccounts,
) -> None:
    seen = accounts.observer().observe(accounts.question())
    chain = explain(seen)
    assert [link.name for link in chain.broken] == []
    assert [link.says for link in chain.unknown if link.decides] == []
    assert len(accounts.calls) <= READS
    writes = [
        name
        for name in accounts.calls
        if not name.startswith(("Get", "List", "Describe", "Head", "Simulate"))
    ]
    assert writes == []


def test_no_part_of_a_roles_policies_is_lost(accounts: TwoAccounts) -> None:
    iam = accounts.test.client("iam")
    denial = policy(says("Deny", "s3:*"))
    arn = iam.create_policy(PolicyName="quarantine", PolicyDocument=json.dumps(denial))["Policy"][
        "Arn"
    ]
    iam.attach_role_policy(RoleName="foothold-deploy", PolicyArn=arn)
    iam.delete_role_policy(RoleName="foothold-deploy", PolicyName="adopted-artifacts")
    seen = accounts.observer().observe(accounts.question(None))
    assert isinstance(seen.role, RoleFacts)
    assert not isinstance(seen.role.policies, Unread)
    assert set(seen.role.policies) == {"deploy", arn}
    assert seen.role.policies[arn] == denial
    (first, *_) = explain(seen).broken
    assert (first.name, first.statement and first.statement.policy) == (
        "identity policies: s3:GetObject",
        arn,
    )


def test_where_more_would_have_to_be_read_than_twelve_times_it_is_said(
    accounts: TwoAccounts,
) -> None:
    iam = accounts.test.client("iam")
    for number in range(READS):
        nothing = json.dumps(policy(says("Deny", "s3:DeleteBucket")))
        put = {"RoleName": "foothold-deploy", "PolicyName": f"more-{number}"}
        iam.put_role_policy(**put, PolicyDocument=nothing)
    chain = explain(accounts.observer().observe(accounts.question()))
    assert not chain.holds
    assert any("12 reads are used up" in link.says for link in chain.unknown)
    assert len(accounts.calls) <= READS


# The operation that somebody may not call, and the link that is unknown then.
NOT_LET = {
    "GetRole": "principal",
    "ListRolePolicies": "identity policies: s3:GetObject",
    "GetRolePolicy": "identity policies: s3:GetObject",
    "ListAttachedRolePolicies": "identity policies: s3:GetObject",
    "DescribeOrganization": "trust",
    "GetBucketPolicy": "bucket policy",
    "HeadObject": "object",
    "DescribeKey": "alias",
    "GetKeyPolicy": "key policy",
}


@pytest.mark.parametrize(("operation", "link"), NOT_LET.items())
def test_what_may_not_be_read_is_unknown_and_nothing_else_is_broken_for_it(
    accounts: TwoAccounts, operation: str, link: str
) -> None:
    accounts.refused |= {operation, "GetFunctionConfiguration"}
    chain = explain(accounts.observer().observe(accounts.question()))
    told = {each.name: each.verdict for each in chain.links}
    assert told[link] is LinkVerdict.UNKNOWN
    assert (chain.broken, chain.holds) == ((), False)


def test_an_object_and_a_role_that_are_not_there_are_told_apart_from_unread_ones(
    accounts: TwoAccounts,
) -> None:
    accounts.test.client("iam").delete_role_policy(
        RoleName="foothold-deploy", PolicyName="adopted-artifacts"
    )
    missing = accounts.observer().observe(accounts.question(f"{KEY}-not"))
    assert missing.object is None
    question = accounts.question()
    nobody = asking_role(f"{DEPLOY}-not")
    renamed = Question(nobody, question.action, REGION, question.bucket, KEY)
    assert accounts.observer().observe(renamed).role is None


def test_a_session_is_judged_by_its_role_with_the_path_that_no_session_names(
    accounts: TwoAccounts,
) -> None:
    trust, policies = template_of_the_role("o-any")
    iam = accounts.test.client("iam")
    iam.create_role(RoleName="deployer", Path="/ci/", AssumeRolePolicyDocument=json.dumps(trust))
    document = json.dumps(policies["deploy"])
    iam.put_role_policy(RoleName="deployer", PolicyName="deploy", PolicyDocument=document)
    session = asking_role(f"arn:aws:sts::{TEST}:assumed-role/deployer/1")
    question = accounts.question()
    asked = Question(session, question.action, REGION, question.bucket, KEY)
    chain = explain(accounts.observer().observe(asked))
    assert chain.question.role.arn == f"arn:aws:iam::{TEST}:role/ci/deployer"
    assert [each.name for each in chain.broken] == ["reader roles"]
    link = chain.broken[0]
    assert link.fix
    assert link.fix.command.endswith(
        "ReaderRoleNames=foothold-deploy,foothold-cloudformation,ci/deployer"
    )


def test_only_a_region_that_accounts_opt_in_to_is_asked_about(accounts: TwoAccounts) -> None:
    accounts.observer().observe(accounts.question())
    assert "GetRegionOptStatus" not in accounts.calls
    assert {"eu-central-2", "ap-east-1", "il-central-1"}.isdisjoint(facts.ALWAYS_ON)


def test_the_region_of_a_store_is_found_by_its_name_or_its_parameters(
    accounts: TwoAccounts,
) -> None:
    observer = accounts.observer()
    assert observer.region_of(accounts.bucket) == REGION
    assert accounts.calls == []
    ssm: Any = accounts.tools.client("ssm", HOME)
    for leaf, value in (("bucket", "old"), ("key-arn", accounts.key_arn)):
        name = f"/foothold/artifact-stores/us-east-1/{leaf}"
        ssm.put_parameter(Name=name, Value=value, Type="String")
    assert observer.region_of("old") == "us-east-1"
    with pytest.raises(PermanentError, match="bucket elsewhere is no artifact store"):
        observer.region_of("elsewhere")


def test_where_foothold_is_not_deployed_it_is_said(accounts: TwoAccounts) -> None:
    ssm: Any = accounts.tools.client("ssm", HOME)
    for name in ("reconcile-function", f"artifact-stores/{REGION}/bucket"):
        ssm.delete_parameter(Name=f"/foothold/{name}")
    with pytest.raises(PermanentError, match="Foothold is not deployed"):
        accounts.observer().observe(accounts.question())


def test_whether_a_refusing_policy_is_meant_so_is_not_guessed_without_the_settings(
    accounts: TwoAccounts,
) -> None:
    accounts.refused |= {"GetFunctionConfiguration"}
    accounts.tools.client("s3", REGION).delete_bucket_policy(Bucket=accounts.bucket)
    chain = explain(accounts.observer().observe(accounts.question()))
    assert [(each.name, each.fix) for each in chain.broken] == [("bucket policy", None)]
    assert "organization" in [each.name for each in chain.unknown]


def test_settings_are_read_only_where_something_refuses(accounts: TwoAccounts) -> None:
    seen = accounts.observer().observe(accounts.question())
    assert isinstance(seen.plane, Unread)
    s3 = accounts.tools.client("s3", REGION)
    s3.delete_bucket_policy(Bucket=accounts.bucket)
    accounts.observer().observe(accounts.question())
    assert "GetFunctionConfiguration" in accounts.calls


# --- IAM's own simulation -------------------------------------------------------------------------

IDENTITY = "identity policies: s3:GetObject"


def simulated(accounts: TwoAccounts, decision: str = "allowed", **more: Any) -> list[Any]:
    """What IAM answers for the deploy role: each action on each resource."""
    any_object = f"arn:aws:s3:::{accounts.bucket}/*"
    return [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision, **more}
        for action in ("s3:GetObject", "kms:Decrypt")
        for resource in (any_object, accounts.key_arn)
    ]


def links_of(accounts: TwoAccounts) -> dict[str, Any]:
    chain = explain(accounts.observer().observe(accounts.question(None)))
    assert len(accounts.calls) <= READS
    accounts.calls.clear()
    return {link.name: link for link in chain.links}


def test_iams_own_simulation_is_asked_once_with_all_that_is_known_of_the_request(
    accounts: TwoAccounts,
) -> None:
    accounts.simulated = simulated(accounts)
    accounts.observer().observe(accounts.question(None))
    assert accounts.calls.count("SimulatePrincipalPolicy") == 1
    asked = accounts.simulating
    named = {value for key, value in asked.items() if key.startswith(("ActionNames", "Resource"))}
    any_object = f"arn:aws:s3:::{accounts.bucket}/*"
    assert named == {"s3:GetObject", "kms:Decrypt", any_object, accounts.key_arn}
    assert asked["PolicySourceArn"] == f"arn:aws:iam::{TEST}:role/foothold-deploy"
    keys = {value for key, value in asked.items() if key.endswith("ContextKeyName")}
    assert {"kms:ViaService", "s3:TlsVersion", "aws:ResourceAccount", "aws:PrincipalOrgID"} <= keys
    assert "iam:PassedToService" in keys
    assert not any("ResourcePolicy" in key for key in asked)


def test_where_it_agrees_it_is_said_and_where_it_differs_the_link_is_unknown(
    accounts: TwoAccounts,
) -> None:
    accounts.simulated = simulated(accounts)
    link = links_of(accounts)[IDENTITY]
    assert (link.verdict, link.says) == (
        LinkVerdict.OK,
        "they allow it; IAM's own simulation says the same",
    )
    accounts.simulated = simulated(accounts, "implicitDeny")
    link = links_of(accounts)[IDENTITY]
    assert (link.verdict, link.says) == (
        LinkVerdict.UNKNOWN,
        "they allow it; IAM's own simulation refuses it",
    )
    for name in ("deploy", "adopted-artifacts"):
        accounts.test.client("iam").delete_role_policy(RoleName="foothold-deploy", PolicyName=name)
    link = links_of(accounts)[IDENTITY]
    assert link.verdict is LinkVerdict.BROKEN
    assert link.fix
    accounts.simulated = simulated(accounts)
    link = links_of(accounts)[IDENTITY]
    assert (link.verdict, link.fix) == (LinkVerdict.UNKNOWN, None)


def test_a_refusal_of_the_organisation_is_the_organisations_and_not_the_roles(
    accounts: TwoAccounts,
) -> None:
    no: Any = {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}
    accounts.simulated = simulated(accounts, "implicitDeny", **no)
    links = links_of(accounts)
    assert links[IDENTITY].says == "they allow it"
    refused = links["service control policies: s3:GetObject"]
    assert refused.says.endswith("IAM's own simulation refuses it")
    assert (refused.verdict, refused.decides) == (LinkVerdict.UNKNOWN, True)


def test_a_refusal_of_a_boundary_that_nobody_saw_is_not_the_roles_own(
    accounts: TwoAccounts,
) -> None:
    no: Any = {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False}}
    accounts.simulated = simulated(accounts, "implicitDeny", **no)
    links = links_of(accounts)
    assert links["boundary: s3:GetObject"].verdict is LinkVerdict.UNKNOWN
    assert links[IDENTITY].says == "they allow it"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"EvalDecision": "perhaps"},
        {"MissingContextValues": ["aws:SourceIp"]},
        {"EvalResourceName": "*"},
        {"EvalActionName": "s3:getobject"},
    ],
)
def test_an_answer_that_is_no_whole_one_changes_nothing(
    accounts: TwoAccounts, spoilt: dict[str, Any]
) -> None:
    without = links_of(accounts)
    accounts.simulated = [
        {**one, **spoilt} if one["EvalActionName"] == "kms:Decrypt" else one
        for one in simulated(accounts, "implicitDeny")
    ]
    assert links_of(accounts) == without
    accounts.simulated = []
    assert links_of(accounts) == without


class InTurn(ThreadPoolExecutor):
    """Whatever is submitted is done at once: what comes first takes the reads."""

    def submit(self, fn: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*arguments, **named))
        return done


def test_the_simulation_takes_no_read_from_what_decides(
    accounts: TwoAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "ThreadPoolExecutor", InTurn)
    accounts.simulated = simulated(accounts)
    seen = accounts.observer().observe(accounts.question())
    assert len(accounts.calls) == READS
    assert "SimulatePrincipalPolicy" not in accounts.calls
    assert seen.published.regional == seen.published.home


# --- The organisation's policies ------------------------------------------------------------------


def make_unit(accounts: TwoAccounts) -> tuple[Any, str]:
    """A member account in a unit of the organisation; the client, and the account's id."""
    client: Any = accounts.test.client("organizations")
    root = client.list_roots()["Roots"][0]["Id"]
    client.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    unit = client.create_organizational_unit(ParentId=root, Name="prod")["OrganizationalUnit"]["Id"]
    made = client.create_account(Email="a@example.com", AccountName="a")["CreateAccountStatus"]
    account = made["AccountId"]
    client.move_account(AccountId=account, SourceParentId=root, DestinationParentId=unit)
    return client, account


def test_the_management_account_tells_the_path_of_an_account_and_every_policy_on_it(
    accounts: TwoAccounts,
) -> None:
    client, account = make_unit(accounts)
    unit = client.list_parents(ChildId=account)["Parents"][0]["Id"]
    root = client.list_roots()["Roots"][0]["Id"]
    denial = policy(says("Deny", "s3:GetObject"))
    made = client.create_policy(
        Content=json.dumps(denial), Description="", Name="no", Type="SERVICE_CONTROL_POLICY"
    )["Policy"]["PolicySummary"]["Id"]
    client.attach_policy(PolicyId=made, TargetId=unit)
    organization = client.describe_organization()["Organization"]["Id"]
    known = Membership(organization, organization)
    found = OrganizationPolicies(client).placed(known, account, TEST)
    assert found.path == f"{organization}/{root}/{unit}/"
    assert not isinstance(found.service_levels, Unread)
    assert [level.target for level in found.service_levels] == [root, unit, account]
    assert found.service_levels[1].policies[made] == denial
    assert found.resource_levels == ()  # the management account is bound by none


def test_nothing_binds_the_management_account_itself(accounts: TwoAccounts) -> None:
    client, _ = make_unit(accounts)
    found = OrganizationPolicies(client).placed(Membership("o-a", "o-a"), TEST, TEST)
    assert (found.service_levels, found.resource_levels) == ((), ())


def test_an_organisation_that_may_not_be_read_stays_unread(accounts: TwoAccounts) -> None:
    accounts.refused |= {"ListParents"}
    client = accounts.client("organizations", TEST, HOME)
    found = OrganizationPolicies(client).placed(Membership("o-a", "o-a"), TEST, TEST)
    assert isinstance(found.service_levels, Unread)
    told = f"cannot read the organisation's policies for account {TEST}: AccessDenied"
    assert told in found.service_levels.why


def test_a_question_is_answered_with_the_organisations_policies_where_they_are_read(
    accounts: TwoAccounts,
) -> None:
    read = OrganizationPolicies(accounts.test.client("organizations"))
    accounts.test.client("iam").delete_role_policy(
        RoleName="foothold-deploy", PolicyName="adopted-artifacts"
    )
    observer = accounts.observer(organization=read)
    with_policies = observer.observe(accounts.question())
    assert with_policies.membership.service_levels == ()
    told = [link.name for link in explain(with_policies).unknown]
    assert [name for name in told if name.startswith("service")] == []
