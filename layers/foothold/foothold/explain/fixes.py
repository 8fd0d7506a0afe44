"""The smallest change that mends a link, as a command that can be run as it is printed. Pure.

No change is wider than the action and the resource that were asked for; and what Foothold keeps
itself is left to Foothold: it would take anything else back.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foothold.explain.evaluate import Json, StatementRef, listed, matches

ANYTHING = "*"


@dataclass(frozen=True, slots=True)
class Fix:
    """A command, the account whose administrator runs it, and what else to know."""

    command: str
    account: str
    note: str = ""

    def as_json(self) -> dict[str, str]:
        return {"command": self.command, "account": self.account, "note": self.note}


@dataclass(frozen=True, slots=True)
class NeededAccess:
    """What is to be allowed, and nothing else."""

    action: str
    resource: str
    condition: Json | None = None

    @property
    def statement(self) -> dict[str, Any]:
        made = {"Effect": "Allow", "Action": self.action, "Resource": self.resource}
        return {**made, "Condition": self.condition} if self.condition else made


def command(*words: str) -> str:
    return " ".join(shlex.quote(word) for word in words)


def document(statements: Sequence[Json]) -> str:
    whole = {"Version": "2012-10-17", "Statement": list(statements)}
    return json.dumps(whole, separators=(",", ":"))


def allow_role(role_name: str, account: str, access: NeededAccess) -> Fix:
    """A policy of its own: the role's others stay what their templates say."""
    service, _, verb = access.action.partition(":")
    return Fix(
        command(
            *("aws", "iam", "put-role-policy", "--role-name", role_name),
            *("--policy-name", f"explained-{service}-{verb}"),
            *("--policy-document", document([access.statement])),
        ),
        account,
        "the template that makes the role should say the same",
    )


def change_role_policy(role_name: str, account: str, name: str, statements: Sequence[Json]) -> Fix:
    if name.startswith("arn:"):
        return change_managed_policy(name, account, statements)
    if not statements:
        words = ("delete-role-policy", "--role-name", role_name, "--policy-name", name)
        return Fix(command("aws", "iam", *words), account)
    return Fix(
        command(
            *("aws", "iam", "put-role-policy", "--role-name", role_name),
            *("--policy-name", name, "--policy-document", document(statements)),
        ),
        account,
        "the template that makes the role should say the same",
    )


def change_managed_policy(arn: str, account: str, statements: Sequence[Json]) -> Fix:
    return Fix(
        command(
            *("aws", "iam", "create-policy-version", "--policy-arn", arn),
            *("--set-as-default", "--policy-document", document(statements)),
        ),
        account,
        "it counts for every role that has this policy",
    )


def change_organization_policy(policy_id: str, statements: Sequence[Json]) -> Fix:
    return Fix(
        command(
            *("aws", "organizations", "update-policy", "--policy-id", policy_id),
            *("--content", document(statements)),
        ),
        "the organisation's management account",
        "it counts for every account below",
    )


def change_trust(role_name: str, account: str, statements: Sequence[Json], note: str = "") -> Fix:
    return Fix(
        command(
            *("aws", "iam", "update-assume-role-policy", "--role-name", role_name),
            *("--policy-document", document(statements)),
        ),
        account,
        note,
    )


def change_bucket_policy(bucket: str, account: str, policy: Json, statements: list[Json]) -> Fix:
    """Foothold keeps its own statements and lets others be."""
    whole = json.dumps({**policy, "Statement": statements}, separators=(",", ":"))
    return Fix(
        command(*("aws", "s3api", "put-bucket-policy", "--bucket", bucket, "--policy", whole)),
        account,
    )


def let_foothold(region: str, account: str) -> Fix:
    return Fix(
        command("foothold", "plan", region),
        account,
        "it shows what the next schedule does by itself: put the store right again",
    )


def make_store(region: str, account: str) -> Fix:
    return Fix(command("foothold", "regions", "add", region), account)


def stack_parameter(name: str, values: Sequence[str], account: str) -> Fix:
    return Fix(
        command("sam", "deploy", "--parameter-overrides", f"{name}={','.join(values)}"),
        account,
        "in a checkout of Foothold; the other parameters stay as they are",
    )


def without(
    ref: StatementRef, access: NeededAccess, policy: Any, bucket: str = ""
) -> list[Json] | None:
    """The policy's statements, of which this denial says no more about the access, and as much as
    before about everything else. None where no statement can say so.

    `bucket` is the ARN of the bucket whose policy it is: such a policy knows no other resources.
    """
    body = listed(policy["Statement"])
    less = _less(ref.body, access, bucket)
    if less is None:
        return None
    return [*body[: ref.number], *less, *body[ref.number + 1 :]]


def sparing(ref: StatementRef, policy: Any, key: str, value: str) -> list[Json] | None:
    """The policy's statements, of which this denial no longer means whoever has this value of a
    condition key. None where it has a condition of that kind already."""
    condition = ref.body.get("Condition", {})
    operator = "ArnNotEquals" if value.startswith("arn:") else "StringNotEquals"
    if operator in condition:
        return None
    less = {**ref.body, "Condition": {**condition, operator: {key: value}}}
    body = listed(policy["Statement"])
    return [*body[: ref.number], less, *body[ref.number + 1 :]]


def _less(statement: Json, access: NeededAccess, bucket: str) -> list[Json] | None:
    """What is left of a denial: of other resources, and of other actions on this one."""
    if "Action" not in statement or "Resource" not in statement:
        return None
    actions, resources = listed(statement["Action"]), listed(statement["Resource"])
    others = [one for one in resources if not matches(one, access.resource)]
    wide = [one for one in resources if matches(one, access.resource)]
    left: list[Json] = []
    if others:
        left.append({**statement, "Resource": others})
    if any(one != access.resource for one in wide):
        if wide != [ANYTHING] and not bucket:
            return None
        elsewhere = {name: value for name, value in statement.items() if name != "Resource"}
        spared = bucket and not any(matches(one, bucket) for one in wide)
        excepted = [access.resource, bucket] if spared else access.resource
        left.append({**elsewhere, "NotResource": excepted})
    here = {name: value for name, value in statement.items() if name not in {"Sid", "Action"}}
    here["Resource"] = access.resource
    named = [one for one in actions if not matches(one, access.action, ignore_case=True)]
    if len(actions) - len(named) == 1 and access.action.lower() in map(str.lower, actions):
        if named:
            left.append({**here, "Action": named})
    else:
        # Nothing but the resource's own service acts on it.
        left.append({**here, "NotAction": access.action})
    return _with_own_sids(left)


def _with_own_sids(statements: Sequence[Json]) -> list[Json]:
    """No two statements of a policy may have the same Sid."""
    first = True
    made: list[Json] = []
    for statement in statements:
        made.append(
            statement
            if first
            else {name: value for name, value in statement.items() if name != "Sid"}
        )
        first = False
    return made
