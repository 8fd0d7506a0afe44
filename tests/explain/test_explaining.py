"""Questions, messages and pipelines become chains: on worlds of the proof."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from foothold.errors import PermanentError
from foothold.explain.chain import Chain, LinkVerdict, explain
from foothold.explain.explaining import Explanations
from foothold.explain.observed import (
    BucketFacts,
    KeyFacts,
    Membership,
    ObjectFacts,
    Observed,
    PublishedFacts,
    RoleFacts,
    Unread,
)
from foothold.explain.ports import PipelineAction
from foothold.explain.principal import Purpose, Question, asking_role
from foothold.stores.policies import bucket_policy, key_policy
from proof.cloud import HOME
from proof.explained import ARTIFACTS, PIPELINE_ROLE, PROJECT, ROLES, World, healthy, policy, says

DEPLOY, PASSED = ROLES[Purpose.DEPLOY], ROLES[Purpose.CLOUDFORMATION]
REGION, KEY = ARTIFACTS[1]
SESSION = "arn:aws:sts::222222222222:assumed-role/foothold-deploy/1"


class Worlds:
    """Sees a healthy world for whichever role is asked about, and remembers the questions."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def observe(self, question: Question) -> Observed:
        self.asked.append(question)
        purpose = next(each for each, arn in ROLES.items() if arn == question.role.arn)
        return replace(healthy(purpose, 1).observed(), question=question)

    def region_of(self, bucket: str) -> str:
        if not bucket.startswith("foothold-"):
            raise PermanentError(f"bucket {bucket} is no artifact store of Foothold")
        return REGION


class Pipelines:
    """A pipeline with one target in two regions; `message` is what its execution failed with."""

    def __init__(self, message: str = "") -> None:
        self.message = message

    def role_of(self, pipeline: str) -> str:
        assert pipeline == PROJECT
        return PIPELINE_ROLE

    def actions(self, pipeline: str) -> Sequence[PipelineAction]:
        assert pipeline == PROJECT
        return [
            PipelineAction(f"Test/{verb}ChangeSet-{region}", roles, region)
            for region in (HOME, REGION)
            for verb, roles in (("Create", (DEPLOY, PASSED)), ("Execute", (DEPLOY,)))
        ]

    def failed(self, pipeline: str, execution: str) -> Sequence[PipelineAction]:
        assert (pipeline, execution) == (PROJECT, "1")
        action = PipelineAction("Test/Create", (DEPLOY, PASSED), REGION, self.message)
        return [action] if self.message else []


def explanations(message: str = "") -> tuple[Worlds, Explanations]:
    worlds = Worlds()
    return worlds, Explanations(worlds, Pipelines(message), HOME)


def test_the_region_of_an_artifact_is_that_of_its_store() -> None:
    worlds, service = explanations()
    service.ask(SESSION, of=f"s3://foothold-x/{KEY}")
    (question,) = worlds.asked
    assert (question.role.arn, question.region, question.key) == (DEPLOY, REGION, KEY)


def test_a_bucket_that_is_no_store_is_named() -> None:
    with pytest.raises(PermanentError, match="bucket elsewhere is no artifact store"):
        explanations()[1].ask(DEPLOY, of="s3://elsewhere/key")


def test_of_a_pipeline_every_role_is_asked_about_once_in_every_region() -> None:
    worlds, service = explanations()
    answers = service.pipeline(PROJECT)
    assert len(answers) == len(worlds.asked) == 5
    asked = {(question.role.arn, question.region) for question in worlds.asked}
    assert asked == {(PIPELINE_ROLE, HOME)} | {
        (role, region) for role in (DEPLOY, PASSED) for region in (HOME, REGION)
    }
    assert {question.caller for question in worlds.asked[1:]} == {PIPELINE_ROLE}


def test_of_an_execution_the_message_tells_who_was_refused() -> None:
    message = (
        f"User: {SESSION} is not authorized to perform: s3:GetObject on resource: "
        f"arn:aws:s3:::foothold-x/{KEY}"
    )
    worlds, service = explanations(message)
    assert [name for name, _ in service.pipeline(PROJECT, "1")] == ["Test/Create"]
    assert [question.key for question in worlds.asked] == [KEY]


def test_of_an_execution_without_such_a_message_the_actions_roles_are_asked_about() -> None:
    worlds, service = explanations("The action failed")
    service.pipeline(PROJECT, "1")
    assert [question.role.arn for question in worlds.asked] == [DEPLOY, PASSED]


def test_an_execution_in_which_nothing_failed_is_said_to_be_one() -> None:
    with pytest.raises(PermanentError, match="no action of execution 1"):
        explanations()[1].pipeline(PROJECT, "1")


def test_who_may_not_become_a_role_is_explained_by_its_trust_alone() -> None:
    _, service = explanations()
    text = (
        f"User: {PIPELINE_ROLE}s is not authorized to perform: sts:AssumeRole on resource: {DEPLOY}"
    )
    chain = service.message(text, None, None, None)
    assert [link.name for link in chain.links] == ["principal", "trust"]
    assert [link.name for link in chain.broken] == ["trust"]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Access Denied", "--principal"),
        (f"User: {SESSION} is not authorized to perform: s3:GetObject", "--artifact"),
    ],
)
def test_what_a_message_leaves_out_is_asked_for(text: str, missing: str) -> None:
    with pytest.raises(PermanentError, match=missing):
        explanations()[1].message(text, None, None, None)


# --- What is unknown, and what is not there -------------------------------------------------------


def verdicts(seen: Observed) -> dict[str, LinkVerdict]:
    return {link.name: link.verdict for link in explain(seen).links}


def chain_of(world: World) -> Chain:
    return explain(world.observed())


UNREAD = Unread("nobody may look")


@pytest.mark.parametrize(
    ("fact", "link"),
    [
        ("role", "principal"),
        ("region_enabled", "region"),
        ("bucket", "bucket policy"),
        ("object", "object"),
        ("key", "key"),
        ("alias", "alias"),
    ],
)
def test_what_nobody_may_look_at_is_unknown_and_no_all_clear(fact: str, link: str) -> None:
    seen = healthy(Purpose.DEPLOY, 1).observed()
    unread: dict[str, Any] = {fact: UNREAD}
    changed = replace(seen, **unread)
    chain = explain(changed)
    assert verdicts(changed)[link] is LinkVerdict.UNKNOWN
    assert (chain.broken, chain.holds) == ((), False)


def test_policies_of_the_organisation_that_nobody_may_read_are_unknown_and_raise_no_alarm() -> None:
    seen = healthy(Purpose.DEPLOY, 1).observed()
    membership = replace(seen.membership, service_levels=UNREAD, resource_levels=UNREAD)
    chain = explain(replace(seen, membership=membership))
    assert {link.name.partition(":")[0] for link in chain.unknown} == {
        "service control policies",
        "resource control policies",
    }
    assert chain.holds


def test_a_region_without_any_store_is_one_link_and_not_ten() -> None:
    seen = healthy(Purpose.DEPLOY, 1).observed()
    nothing = PublishedFacts((None, None), (None, None))
    none = replace(seen, bucket=None, key=None, object=None, alias=None, published=nothing)
    (broken,) = explain(none).broken
    assert (broken.name, broken.fix and broken.fix.command) == (
        "store",
        f"foothold regions add {REGION}",
    )


def test_a_write_from_another_account_is_refused_on_purpose_and_no_fix_is_advised() -> None:
    world = healthy(Purpose.DEPLOY, 1)
    world.action = "s3:PutObject"
    world.policies["writes"] = {
        "Statement": [{"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}]
    }
    broken = chain_of(world).broken
    assert {link.name for link in broken} == {"bucket policy", "key policy"}
    assert [link.fix for link in broken] == [None, None]


def test_nothing_of_the_chain_in_json_is_lost() -> None:
    world = healthy(Purpose.DEPLOY, 1)
    del world.policies["deploy"]["Statement"][:]
    told = chain_of(world).as_json()
    assert told["broken"][0] == "identity policies: s3:GetObject"
    assert told["links"][5]["fix"]["command"].startswith("aws iam put-role-policy")


@pytest.mark.parametrize(
    ("partition", "region"), [("aws-cn", "cn-north-1"), ("aws-eusc", "eusc-de-east-1")]
)
def test_other_partitions_have_endpoints_and_arns_of_their_own(partition: str, region: str) -> None:
    account = ROLES[Purpose.PACKAGE].split(":")[4]
    plane = replace(healthy(Purpose.PACKAGE, 1).plane, home_region=region)
    key = f"arn:{partition}:kms:{region}:{account}:key/1"
    spec = plane.spec(region)
    through = {"StringEquals": {"kms:ViaService": f"s3.{region}.{spec.partition.dns_suffix}"}}
    policies = {
        "packaging": policy(
            says("Allow", "s3:GetObject", f"{spec.bucket_arn}/*"),
            says("Allow", "kms:Decrypt", key, Condition=through),
        )
    }
    trust = policy(
        {**says("Allow", "sts:AssumeRole"), "Principal": {"Service": "lambda.amazonaws.com"}}
    )
    role = asking_role(f"arn:{partition}:iam::{account}:role/f-PackageRole-1")
    seen = Observed(
        Question(role, "s3:GetObject", region, spec.bucket, KEY),
        account,
        RoleFacts(trust, policies),
        Membership(UNREAD, UNREAD),
        region_enabled=True,
        bucket=BucketFacts(spec.bucket, bucket_policy(spec, key)),
        object=ObjectFacts(key),
        key=KeyFacts(key, "Enabled", key_policy(spec)),
        alias=key,
        published=PublishedFacts((spec.bucket, key), (spec.bucket, key)),
        plane=plane,
    )
    assert [link.name for link in explain(seen).broken] == []
    assert explain(seen).holds


# --- Who only looks -------------------------------------------------------------------------------

READER = f"arn:aws:iam::{ROLES[Purpose.DEPLOY].split(':')[4]}:role/foothold-reader"


def asked_of_the_reader(action: str, caller: str | None = None, **given: Any) -> Chain:
    """Of the reader role, whose trust is the deploy role's, and which may find stacks."""
    seen = healthy(Purpose.DEPLOY, 1).observed()
    assert isinstance(seen.role, RoleFacts)
    finds = policy(says("Allow", "cloudformation:DescribeStacks"))
    role = replace(seen.role, policies={"read": finds})
    question = Question(asking_role(READER), action, REGION, caller=caller)
    return explain(replace(seen, question=question, **{"role": role, **given}))


def test_whoever_may_become_the_reader_is_let_in_and_nobody_else() -> None:
    assert asked_of_the_reader("sts:AssumeRole", PIPELINE_ROLE).holds
    (link,) = asked_of_the_reader("sts:AssumeRole", f"{PIPELINE_ROLE}s").broken
    assert link.name == "trust"
    (link,) = asked_of_the_reader("sts:AssumeRole").unknown
    assert "--caller ROLE_ARN" in link.says


def test_a_session_whose_role_may_have_a_path_is_not_said_to_be_kept_out() -> None:
    session = "arn:aws:sts::111111111111:assumed-role/release/me"
    chain = asked_of_the_reader("sts:AssumeRole", session)
    assert [link.name for link in chain.unknown] == ["trust"]
    assert not chain.broken


def test_of_an_action_on_no_artifact_the_principals_side_is_judged_and_no_store() -> None:
    chain = asked_of_the_reader("cloudformation:DescribeStacks")
    assert chain.holds
    assert [link.name for link in chain.links][-1].startswith("resource control policies")
    (link,) = asked_of_the_reader("lambda:ListFunctions").broken
    assert link.name == "identity policies: lambda:ListFunctions"
    assert link.fix
    assert "pipelines/target-account.yaml" in link.fix.command


def test_on_what_an_action_is_done_is_not_guessed() -> None:
    narrow = policy(says("Allow", "cloudformation:GetTemplate", "arn:aws:cloudformation:*"))
    role = RoleFacts({}, {"read": narrow})
    (link,) = (
        link
        for link in asked_of_the_reader("cloudformation:GetTemplate", role=role).unknown
        if link.decides and link.name.startswith("identity")
    )
    assert link.statement


def test_a_reader_that_is_not_there_is_made_by_its_template() -> None:
    (link,) = asked_of_the_reader("sts:AssumeRole", role=None).broken
    assert link.fix
    assert "pipelines/target-account.yaml" in link.fix.command
