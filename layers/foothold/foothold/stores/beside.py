"""What stands beside Foothold's own settings of a bucket: whose it is, and whether it may stay.

Statements of the bucket policy are Foothold's by their Sid, lifecycle rules by their ID; these are
kept exactly. All others belong to somebody else, and stay, unless a statement opens the bucket.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from foothold.stores.model import StoreSpec
from foothold.stores.policies import OWN_SIDS, READS, Json, canonical, reader_conditions

# What only tells of a bucket's settings, or of its objects' names (Service Authorization Reference,
# "Actions, resources, and condition keys for Amazon S3").
HARMLESS = tuple(
    f"s3:{name}".lower()
    for name in (
        "GetAccelerateConfiguration", "GetAnalyticsConfiguration", "GetBucket",
        "GetEncryptionConfiguration", "GetIntelligentTieringConfiguration",
        "GetInventoryConfiguration", "GetLifecycleConfiguration", "GetMetricsConfiguration",
        "GetReplicationConfiguration", "ListBucket", "ListTagsForResource",
    )
)  # fmt: skip
# What is left in a policy of somebody who was deleted (IAM User Guide, "IAM identifiers"). S3
# refuses to be given it again.
GONE = re.compile(r"A[A-Z]{3}[A-Z0-9]{16,124}")
ACCOUNT = re.compile(r"arn:[a-z-]+:(?:iam|sts)::(\d{12}):(.+)|(\d{12})")


@dataclass(frozen=True, slots=True)
class Beside:
    """One setting: the whole `value` that it should have, whether it `differs` from what was
    found, and of each statement that may not stay, its name and whom it lets in."""

    value: Any
    differs: bool
    set_aside: tuple[tuple[str, str], ...] = ()


def policy_beside(spec: StoreSpec, ours: Json, found: Json | None) -> Beside:
    """The bucket policy: `ours`, and of the `found` one what is not ours and opens nothing."""
    statements = listed((found or {}).get("Statement", ()))
    mine = [one for one in statements if one.get("Sid") in OWN_SIDS]
    kept, set_aside = [], []
    for number, statement in enumerate(statements, start=1):
        if statement.get("Sid") in OWN_SIDS:
            continue
        who = lets_in(spec, statement)
        if who is None:
            kept.append(statement)
        else:
            set_aside.append((str(statement.get("Sid") or f"statement {number}"), who))
    differs = canonical(mine) != canonical(ours["Statement"]) or bool(set_aside)
    named = {"Id": found["Id"]} if found and "Id" in found else {}
    value = {**ours, **named, "Statement": [*ours["Statement"], *kept]}
    return Beside(value, differs, tuple(set_aside))


def lifecycle_beside(ours: Sequence[Json], found: Any) -> Beside:
    """The lifecycle rules: `ours`, and of the list that was `found` those with other IDs."""
    names = {rule["ID"] for rule in ours}
    rules = [_filtered(rule) for rule in (found if isinstance(found, list) else ())]
    mine = [rule for rule in rules if rule.get("ID") in names]
    others = [rule for rule in rules if rule.get("ID") not in names]
    return Beside([*ours, *others], canonical(mine) != canonical(ours))


def _filtered(rule: Json) -> Json:
    """The rule in today's form. S3 takes no rules of both forms together (Amazon S3 API Reference,
    "LifecycleRule": Prefix), and an empty filter means every object, as an empty prefix does."""
    rest = {name: value for name, value in rule.items() if name not in ("Prefix", "Filter")}
    return {**rest, "Filter": rule.get("Filter") or {"Prefix": rule.get("Prefix", "")}}


def lets_in(spec: StoreSpec, statement: Json) -> str | None:
    """Whom a statement lets do what Foothold's policy would not let them; None where nobody.

    Denials let nobody in, and what the owner's account allows its own people is its own affair. An
    organisation's readers may read; others may at most look at settings. Conditions count only
    where they bind the caller to the account, or are those of Foothold's own statement.
    """
    if statement.get("Effect") != "Allow":
        return None
    return next(
        (name for kind, name in _principals(statement) if not _may(spec, kind, name, statement)),
        None,
    )


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _principals(statement: Json) -> Iterator[tuple[str, str]]:
    principal = statement.get("Principal", {"NotPrincipal": "everybody but those it names"})
    if isinstance(principal, Mapping):
        for kind, names in principal.items():
            for name in listed(names):
                yield kind, str(name)
    else:
        yield "AWS", str(principal)


def _may(spec: StoreSpec, kind: str, name: str, statement: Json) -> bool:
    condition = statement.get("Condition") or {}
    actions = [str(action).lower() for action in listed(statement.get("Action", "*"))]
    # Of an action with wildcards, what stands before the first of them.
    others = [a for a in actions if not re.split(r"[*?]", a)[0].startswith(HARMLESS)]
    harmless, reads = not others, READS_LOWER.issuperset(others)
    if kind == "Service":
        return harmless or _for_own_account(spec, condition)
    if kind != "AWS" or GONE.fullmatch(name):
        return False
    if name == "*":
        return _binds_to_own_account(spec, condition) or (reads and _as_readers(spec, condition))
    known = ACCOUNT.fullmatch(name)
    if harmless or known is None:
        return harmless
    account = known[1] or known[3]
    return account == spec.account or (reads and _is_reader(spec, account, known[2] or ""))


READS_LOWER = frozenset(action.lower() for action in READS)


def _is_reader(spec: StoreSpec, account: str, name: str) -> bool:
    """A role by its ARN, whom Foothold's own statement lets read, too. Whoever is outside of the
    organisation is denied by another; in which unit an account is, no ARN tells."""
    plane = spec.control_plane
    accounts = spec.reader_accounts
    return (
        bool(plane.organization_ids)
        and not spec.reader_org_paths
        and (not accounts or account in accounts)
        and any(fnmatchcase(name, f"role/{role}") for role in plane.reader_roles)
    )


def _values(condition: Json, key: str, *operators: str) -> list[str]:
    """All values that a condition compares the key with, by one of these operators."""
    return [
        str(value)
        for operator, keys in condition.items()
        if operator.lower() in operators
        for name, values in keys.items()
        if name.lower() == key
        for value in listed(values)
    ]


ARNS = ("arnlike", "arnequals", "stringlike", "stringequals")


def _binds_to_own_account(spec: StoreSpec, condition: Json) -> bool:
    accounts = _values(condition, "aws:principalaccount", "stringequals")
    if accounts:
        return set(accounts) == {spec.account}
    arns = [ACCOUNT.fullmatch(arn) for arn in _values(condition, "aws:principalarn", *ARNS)]
    return bool(arns) and all(arn and arn[1] == spec.account for arn in arns)


def _for_own_account(spec: StoreSpec, condition: Json) -> bool:
    """Whether a service acts for this account, or its organisation, only (IAM User Guide, "The
    confused deputy problem")."""
    accounts = _values(condition, "aws:sourceaccount", "stringequals")
    organizations = _values(condition, "aws:sourceorgid", "stringequals")
    arns = _values(condition, "aws:sourcearn", *ARNS)
    return (
        (bool(accounts) and set(accounts) == {spec.account})
        or (bool(organizations) and set(organizations) <= set(spec.control_plane.organization_ids))
        or (bool(arns) and all(arn.split(":")[4:5] == [spec.account] for arn in arns))
    )


def _as_readers(spec: StoreSpec, condition: Json) -> bool:
    """Whether the condition holds all that Foothold's own statement for readers has."""
    if not spec.control_plane.organization_ids or not spec.control_plane.reader_roles:
        return False
    return all(
        values and set(values) <= set(wanted)
        for operator, keys in reader_conditions(spec).items()
        for key, wanted in keys.items()
        for values in [_values(condition, key.lower(), operator.lower())]
    )
