"""What one IAM policy says of one request, for the narrow forms that policies around artifacts
have. Pure; whatever else a policy holds is unknown, and never guessed.

Three answers everywhere: True, False, and None for what cannot be told.
Sources: IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements: Condition operators".
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
Verdict = bool | None


@dataclass(frozen=True, slots=True)
class Request:
    """One request to be judged. `principal` is a role's ARN, or a service's name;
    `resource` is None where it is not known which one.

    `context` holds what each condition key is known to be: its values, none where the request
    certainly lacks the key. A key that does not stand here is unknown.
    """

    principal: str
    account: str
    action: str
    resource: str | None
    context: Mapping[str, tuple[str, ...]]

    def value(self, key: str) -> tuple[str, ...] | None:
        return next(
            (value for name, value in self.context.items() if name.lower() == key.lower()), None
        )


@dataclass(frozen=True, slots=True)
class StatementRef:
    """A statement, and where it stands: `policy` is a policy's name, `number` counts from 0."""

    policy: str
    number: int
    body: Json

    @property
    def sid(self) -> str:
        return str(self.body.get("Sid") or "")

    def __str__(self) -> str:
        return f"statement {self.sid or self.number + 1} of {self.policy}"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What policies say of a request: whether they deny it and whether they allow it, each with
    the statement that decides. `direct`: they allow this very principal, not only its account."""

    denied: Verdict
    allowed: Verdict
    denying: StatementRef | None = None
    allowing: StatementRef | None = None
    direct: bool = False

    @property
    def granted(self) -> Verdict:
        return all_of([not_(self.denied), self.allowed])

    @property
    def deciding(self) -> StatementRef | None:
        """The statement that denies, or may; else the one that allows."""
        return self.denying or self.allowing


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    if False in verdicts:
        return False
    return None if None in verdicts else True


def any_of(verdicts: Sequence[Verdict]) -> Verdict:
    if True in verdicts:
        return True
    return None if None in verdicts else False


def not_(verdict: Verdict) -> Verdict:
    return None if verdict is None else not verdict


def opinion(documents: Mapping[str, Any], request: Request) -> Opinion:
    """What all of these documents together say; they are by their names."""
    denied: Verdict = False
    allowed: Verdict = False
    denying = allowing = None
    direct = False
    for ref in statements(documents):
        matched = applies(ref.body, request)
        if matched is False:
            continue
        if ref.body.get("Effect") == "Deny":
            if denying is None or (matched and not denied):
                denying = ref
            denied = any_of([denied, matched])
        elif ref.body.get("Effect") == "Allow":
            by_name = _names_itself(ref.body, request)
            if allowing is None or (matched and (not allowed or by_name > direct)):
                allowing, direct = ref, by_name and bool(matched)
            allowed = any_of([allowed, matched])
    return Opinion(denied, allowed, denying, allowing, direct)


def statements(documents: Mapping[str, Any]) -> Iterator[StatementRef]:
    """Every statement of the documents that is one."""
    for name, document in documents.items():
        body = document.get("Statement") if isinstance(document, Mapping) else ()
        for number, statement in enumerate(listed(body)):
            if isinstance(statement, Mapping):
                yield StatementRef(name, number, statement)


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def applies(statement: Json, request: Request) -> Verdict:
    """Whether the statement is about this request."""
    return all_of(
        [
            _among(statement, "Action", request.action, ignore_case=True),
            _among(statement, "Resource", request.resource),
            _is_meant(statement, request),
            _holds(statement.get("Condition", {}), request),
        ]
    )


def matches(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """IAM's wildcards: * for any text, ? for one character, nothing else."""
    parts = re.split(r"([*?])", pattern)
    expression = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in parts)
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.fullmatch(expression, value, flags) is not None


def _among(
    statement: Json, element: str, value: str | None, *, ignore_case: bool = False
) -> Verdict:
    """What Action and NotAction, Resource and NotResource say; a trust policy has no resource."""
    for name, negated in ((element, False), (f"Not{element}", True)):
        if name not in statement:
            continue
        patterns = listed(statement[name])
        if not all(isinstance(pattern, str) for pattern in patterns):
            return None
        found = any_of([_meets(pattern, value, ignore_case=ignore_case) for pattern in patterns])
        return not_(found) if negated else found
    return element == "Resource" or None


def _meets(pattern: str, value: str | None, *, ignore_case: bool) -> Verdict:
    if value is None:
        return pattern == "*" or None
    return None if "${" in pattern else matches(pattern, value, ignore_case=ignore_case)


def _is_meant(statement: Json, request: Request) -> Verdict:
    if "NotPrincipal" in statement:
        return None
    if "Principal" not in statement:  # an identity's policy is its own
        return True
    principal = statement["Principal"]
    if principal == "*":
        return True
    if not isinstance(principal, Mapping):
        return None
    if not request.principal.startswith("arn:"):
        return request.principal in listed(principal.get("Service"))
    return any_of([_is_named(str(one), request) for one in listed(principal.get("AWS"))])


def _is_named(named: str, request: Request) -> Verdict:
    if named in {"*", request.principal, request.account}:
        return True
    if re.fullmatch(rf"arn:[a-z-]+:iam::{request.account}:root", named):
        return True
    # A session of this role is one of many: nobody knows which asks.
    session = f":sts::{request.account}:assumed-role/{request.principal.rpartition('/')[2]}/"
    return None if session in named else False


def _names_itself(statement: Json, request: Request) -> bool:
    """Whether it lets the principal in by itself, not by its account's own policies."""
    principal = statement.get("Principal")
    if principal == "*":
        return True
    named = listed(principal.get("AWS")) if isinstance(principal, Mapping) else []
    return "*" in named or request.principal in named


Compare = Callable[[str, str], Verdict]


def _arn_like(pattern: str, value: str) -> Verdict:
    """Each of the six parts of an ARN by itself."""
    parts = pattern.split(":", 5), value.split(":", 5)
    return len(parts[0]) == len(parts[1]) and all(map(matches, *parts))


def _less(limit: str, value: str) -> Verdict:
    try:
        return float(value) < float(limit)
    except ValueError:
        return None


OPERATORS: Mapping[str, tuple[Compare, bool]] = {
    "stringequals": (lambda wanted, value: wanted == value, False),
    "stringnotequals": (lambda wanted, value: wanted == value, True),
    "stringequalsignorecase": (lambda wanted, value: wanted.lower() == value.lower(), False),
    "stringnotequalsignorecase": (lambda wanted, value: wanted.lower() == value.lower(), True),
    "stringlike": (matches, False),
    "stringnotlike": (matches, True),
    "arnequals": (_arn_like, False),
    "arnlike": (_arn_like, False),
    "arnnotequals": (_arn_like, True),
    "arnnotlike": (_arn_like, True),
    "bool": (lambda wanted, value: wanted.lower() == value.lower(), False),
    "numericlessthan": (_less, False),
}


def _holds(condition: Any, request: Request) -> Verdict:
    blocks = condition.values() if isinstance(condition, Mapping) else [None]
    if not all(isinstance(block, Mapping) for block in blocks):
        return None
    return all_of(
        [
            _one_holds(operator, key, [str(value) for value in listed(wanted)], request)
            for operator, block in condition.items()
            for key, wanted in block.items()
        ]
    )


def _one_holds(operator: str, key: str, wanted: list[str], request: Request) -> Verdict:
    set_of, _, name = operator.lower().rpartition(":")
    if_exists, name = name.endswith("ifexists"), name.removesuffix("ifexists")
    # JSON's true is "true" in a policy.
    wanted = [value.lower() if value in {"True", "False"} else value for value in wanted]
    found = request.value(key)
    if found is None or any("${" in value for value in wanted):
        return None
    if name == "null":
        return any_of([(value == "true") == (not found) for value in wanted])
    if name not in OPERATORS or set_of not in {"", "foranyvalue", "forallvalues"}:
        return None
    compare, negated = OPERATORS[name]
    if not found:
        return if_exists or set_of == "forallvalues" or (negated and set_of == "")
    each = [any_of([compare(one, value) for one in wanted]) for value in found]
    each = [not_(one) for one in each] if negated else each
    return any_of(each) if set_of == "foranyvalue" else all_of(each)
