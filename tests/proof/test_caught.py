"""Every proof can fail: each is shown a house with one thing broken, and says so."""

import copy
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from foothold.aws.pace import Pace
from foothold.aws.patience import Patience
from foothold.errors import PermanentError
from foothold.packaging.gateways import archive
from foothold.releases import rollout
from foothold.releases.access import Access
from foothold.releases.model import change_set_name
from foothold.releases.rollout import Rollouts
from foothold.stores import events, planner, reconcile
from foothold.stores.custom_resource import reply as cfn_reply
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.reconcile import Reconciler
from proof import (
    boards,
    decisions,
    faults,
    fuzz,
    histories,
    killed,
    patience,
    privileges,
    races,
    report,
    reviews,
    rollouts,
    static,
    watch,
)
from proof.cloud import Cloud
from proof.flows import FLOWS
from proof.house import house, load
from proof.result import Result, Scale

SCALE = Scale()
NEW_REGION = next(n for n, flow in enumerate(FLOWS) if flow.name == "a region is requested")


def call_number(flow: int, operation: str) -> int:
    """The number of the flow's first call to this operation."""
    with house():
        calls = faults.undisturbed(FLOWS[flow]).calls
    return next(n for n, call in enumerate(calls) if call.operation == operation)


def judged(*runs: Mapping[int, int]) -> tuple[str, ...]:
    return faults.judged([faults.Case(NEW_REGION, runs)]).failures


def looks_for_no_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The naive way: what the alias does not point at is created."""
    monkeypatch.setattr(KmsKeys, "tagged", lambda *_: ())
    monkeypatch.setattr(KmsKeys, "unused", lambda *_: (), raising=False)


def test_a_key_that_is_forgotten_when_its_reply_is_lost_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = faults.fault_named("reply lost after success")
    assert judged({call_number(NEW_REGION, "CreateKey"): lost}) == ()
    looks_for_no_key_of_its_own(monkeypatch)
    failures = judged({call_number(NEW_REGION, "CreateKey"): lost})
    assert any("orphan" in failure for failure in failures)


def test_a_key_that_is_forgotten_in_a_crash_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    killed_after = faults.fault_named("killed after the call")
    assert judged({call_number(NEW_REGION, "CreateKey"): killed_after}) == ()
    looks_for_no_key_of_its_own(monkeypatch)
    gone = {call_number(NEW_REGION, "CreateKey"): killed_after}
    assert any("orphan" in failure for failure in judged(gone))
    assert any("orphan" in failure for failure in judged(gone, {0: killed_after}))


def test_a_key_that_is_forgotten_by_a_killed_process_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks_for_no_key_of_its_own(monkeypatch)
    created = killed.Kill(NEW_REGION, call_number(NEW_REGION, "Invoke"), killed.AFTER)
    assert any("orphan" in failure for failure in killed.killed([created]).failures)


def test_an_error_that_nobody_translates_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {call_number(NEW_REGION, "CreateAlias"): faults.fault_named("connection refused")}
    assert judged(refused) == ()
    monkeypatch.setattr("foothold.stores.gateways.kms.aws_call", lambda _doing: nullcontext())
    assert any("unhandled EndpointConnectionError" in failure for failure in judged(refused))


@pytest.mark.parametrize("answer", sorted(patience.STRIKES))
def test_a_run_that_gives_up_at_once_is_caught(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [one for one in patience.moments() if one.answer == answer][:6]
    assert patience.judged(found).failures == ()
    monkeypatch.setattr(Patience, "begin", lambda *_: None)
    assert len(patience.judged(found).failures) >= len(found)


def test_worlds_that_are_late_catch_a_run_that_gives_up_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Patience, "begin", lambda *_: None)
    failures = patience.late_worlds().failures
    assert any("a stack asks for a store, slow" in failure for failure in failures)
    assert any("a region is requested, unrighted" in failure for failure in failures)


def test_a_schedule_that_repairs_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reconciler, "keep", lambda *_args, **_kwargs: ())
    assert histories.histories_of(40, [1]).failures


def test_a_lost_race_that_leaves_its_key_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KmsKeys, "discard", lambda *_: None)
    assert any("orphan" in failure for failure in races.raced(range(30)).failures)


def test_an_answer_that_is_too_long_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(event: Mapping[str, Any], reason: str) -> bytes:
        told = {name: event.get(name) for name in ("StackId", "RequestId", "LogicalResourceId")}
        body = told | {"Status": "FAILED", "Reason": reason * 20, "PhysicalResourceId": "x" * 3000}
        return json.dumps(body).encode()

    monkeypatch.setattr(cfn_reply, "failure", whole)
    failures = fuzz.fuzzed(fuzz.REQUESTS, range(60)).failures
    assert any("bytes" in failure for failure in failures)


def test_an_event_that_breaks_the_parser_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "parse_event", lambda event, **_: event["detail"]["status"])
    opt_ins = fuzz.Target("reconcile", ("region_opt_in",), fuzz.reconcile, begin=fuzz.nowhere)
    failures = fuzz.fuzzed(opt_ins, range(60)).failures
    assert any("unhandled KeyError" in failure for failure in failures)


def test_a_declaration_that_breaks_its_reader_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "foothold.pipelines.file.parameter_values",
        lambda fragment, _given: fragment["Parameters"]["ConnectionArn"]["Default"] and {},
    )
    assert any("unhandled" in failure for failure in fuzz.declarations_of(range(300)).failures)


def test_a_template_that_breaks_the_packager_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foothold.packaging.gateways.sam_cli._Work._refusals", nullcontext)
    assert any("unhandled" in failure for failure in fuzz.templates_of(range(300)).failures)


def test_an_archive_that_leaves_its_folder_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_refuse_harm", lambda *_: None)
    assert fuzz.zips_of(range(300)).failures


def test_a_statement_that_changes_nothing_is_caught() -> None:
    name = f"bucket {decisions.PLACES[0]}"
    whole = decisions.documents()[name]
    assert decisions.unnoticed([("nothing less", name, whole)]).failures


def test_a_policy_that_names_accounts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    longer = {"Statement": [{"Principal": {"AWS": "arn:aws:iam::222222222222:root"}}]}
    monkeypatch.setattr(decisions, "bucket_policy", lambda *_: longer)
    assert decisions.sizes(SCALE).failures


@pytest.mark.parametrize(
    ("sid", "field", "change", "found"),
    [
        ("ReadKeys", "Action", lambda known: [*known, "kms:Encrypt"], "granted and never needed"),
        ("ReadKeys", "Action", lambda known: known[1:], "not granted"),
        (
            "ReadStoresAndClaimsAtHome",
            "Resource",
            lambda known: [*known, "arn:aws:ssm:*:111111111111:parameter/elsewhere"],
            "granted and never needed",
        ),
        ("ReadStoresAndClaimsAtHome", "Resource", lambda known: known[1:], "not granted"),
    ],
    ids=[f"one {what} too {much}" for what in ("action", "resource") for much in ("many", "few")],
)
def test_a_grant_that_does_not_fit_is_caught(sid: str, field: str, change: Any, found: str) -> None:
    granted = copy.deepcopy(privileges.policies(privileges.template()["Resources"]))
    statement = next(one for one in granted["StoreKeeping"]["Statement"] if one["Sid"] == sid)
    statement[field] = change(statement[field])
    failures = privileges.least_privilege(SCALE, granted).failures
    assert any(failure.startswith(found) for failure in failures)


def test_an_allow_on_everything_is_caught() -> None:
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    assert list(privileges.stars({"policy": {"Statement": [statement]}}))


def test_an_s3_call_that_names_no_owner_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        S3Buckets,
        "verify",
        lambda gateway, spec: gateway._s3(spec).head_bucket(Bucket=spec.bucket),
    )
    assert any("HeadBucket" in failure for failure in watch.owner_named(SCALE).failures)


def test_taking_over_what_is_not_ours_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "refuse_to_keep", lambda *_: None)
    attack = watch.Attack(0, 0, watch.ATTACKS.index(watch.another_stacks_bucket))
    assert any("not ours" in failure for failure in watch.attacked([attack]).failures)


def test_a_request_that_is_logged_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = load("artifact_store")
    parse = handler.parse_request

    def careless(event: Mapping[str, Any]) -> Any:
        handler.logger.info("request", event=event)
        return parse(event)

    monkeypatch.setattr(handler, "parse_request", careless)
    assert watch.secrets(SCALE).failures


def test_a_jobs_credentials_in_an_answer_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(_jobs: Any, job: str, _kind: str, _message: str) -> None:
        assert Cloud.current is not None
        Cloud.current.job_answers.append(("failure", {"jobId": job, "message": "canary-lent"}))

    monkeypatch.setattr("foothold.jobs.gateway.PipelineJobs.fail", careless)
    assert any(failure.startswith("a job") for failure in watch.secrets(SCALE).failures)


def test_writes_that_are_not_paced_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "wait", lambda *_: None)
    failures = watch.limits(SCALE).failures
    assert any("PutParameter" in failure for failure in failures)


def test_regions_that_are_looked_at_in_turn_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_side_by_side", lambda work, regions: tuple(map(work, regions)))
    failures = watch.limits(SCALE).failures
    assert any(failure.startswith("a steady look at 34 regions takes") for failure in failures)


def test_a_suppression_without_a_reason_is_caught(tmp_path: Path) -> None:
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof" / "hasty.py").write_text("x = 1  # " + "noqa: E501\n")
    (tmp_path / "proof" / "fair.py").write_text("x = 1  # " + "noqa: E501  a table is wide\n")
    (found,) = static.suppressions_without_reason(tmp_path)
    assert found.startswith("proof/hasty.py:1")


def test_a_template_that_a_checker_refuses_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"Colour": "blue"}}
    monkeypatch.setattr(static, "translate", lambda: {"Resources": {"Bucket": bucket}})
    failures = static.static(SCALE).failures
    assert any(failure.startswith("cfn-lint") and "Colour" in failure for failure in failures)


def test_a_weak_policy_is_caught_by_our_guard_rules() -> None:
    assert not list(static.guarded(static.rendered()))
    key = static.rendered()["Resources"]["Key"]["Properties"]["KeyPolicy"]
    key["Statement"][1]["Action"] = "kms:*"
    assert list(static.guarded(static.rendered({"key": key})))


@pytest.mark.parametrize(
    ("what", "broken", "told"),
    [
        ("review.NEUTRAL", (frozenset[str](),), "None is odd"),
        ("review._OwnNames.neutral", lambda *_: "", " is odd, and [] is told"),
        ("review.is_tags_only", lambda _: True, "is told as {}"),
        ("review.is_tags_only", lambda _: False, "or more than it"),
        ("review.FATES", {}, "what becomes of the data"),
        ("review.RISKS", frozenset(), "asks nobody, although it is risky"),
        ("review.judge_access", lambda _: (Access.SAME, ()), "asks nobody, although it is risky"),
        ("gateways.changesets._nested", lambda *_: None, "is told as"),
    ],
)
def test_a_review_that_tells_it_otherwise_is_caught(
    what: str, broken: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"foothold.releases.{what}", broken)
    assert any(told in failure for failure in reviews.worlds_of(20, range(24)).failures)


@pytest.mark.parametrize(
    ("what", "broken", "told"),
    [
        ("board.hexadecimal", lambda _: "", "and not proved"),
        ("board._other_code", lambda *_: (), "and [] are told"),
        ("board._other_template", lambda *_: (), "after a template edited by hand"),
        ("board._unproved", lambda *_: (), "after a nested stack it is proved"),
        ("board._is_at_work", lambda _: False, "after an operation under way"),
        ("observe.orphans", lambda *_: (), "4 missed"),
    ],
)
def test_a_board_that_tells_it_otherwise_is_caught(
    what: str, broken: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"foothold.releases.{what}", broken)
    assert any(told in failure for failure in boards.boards(SCALE).failures)


@pytest.mark.parametrize("said", [Access.SAME, Access.NARROWER, Access.WIDER])
def test_a_policy_that_is_called_something_else_is_caught(
    said: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviews, "compare_policies", lambda *_: said)
    pairs = [
        reviews.Pair(
            {"Version": "2012-10-17", "Statement": []},
            {
                "Version": "2012-10-17",
                "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
            },
            of_bucket=False,
        )
    ]
    assert reviews.pairs_judged(pairs).failures


def test_a_change_set_that_is_executed_by_its_name_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def by_name(work: Any, review: Any) -> None:
        name = change_set_name(review.project, review.execution)
        work.ids = {one.cell: name for one in review.reviewed}

    monkeypatch.setattr(Rollouts, "_bind", staticmethod(by_name))
    assert "not reviewed" in rollouts.reviews(SCALE).failures[0]


def test_a_bake_that_looks_at_the_present_only_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = Rollouts._alarm

    def now(self: Rollouts, targets: Any, cells: Any, _: float) -> str:
        return alarm(self, targets, cells, self._clock())

    monkeypatch.setattr(Rollouts, "_alarm", now)
    assert any("after an alarm" in line for line in rollouts.alarms(SCALE).failures)


def test_a_bake_that_is_too_short_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "baked_until", lambda _, baking: baking + 59)
    assert any(" began " in line for line in rollouts.alarms(SCALE).failures)


def test_a_rollout_that_forgets_what_it_was_about_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollout, "continued", lambda *both: both[1])
    assert any("another end" in line for line in rollouts.kills(SCALE).failures)


def test_a_proof_that_breaks_or_checks_nothing_has_failed() -> None:
    def breaks(_scale: Scale) -> Result:
        raise PermanentError("broken")

    for run in (breaks, lambda _scale: Result(0)):
        assert report.timed(report.Check("x", "x", run), SCALE).result.failures
