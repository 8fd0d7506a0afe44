"""Whether a change lets anybody do more than before. Pure: values in, values out.

A policy allows more where it allows something that nothing allowed before, or no longer denies
something that it denied. Statements are taken apart into single grants, and one is no more than
before where one of before covers it: so SAME and NARROWER are proven, and WIDER is what was added
to something that is all still there. What cannot be decided is UNCLEAR, and whoever looks for risk
has to take it for wider.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_network
from itertools import product
from typing import Any

from foothold.releases.changes import MASK, Action, ResourceChange

Json = Mapping[str, Any]


class Access(StrEnum):
    """What may be done after a change, next to what could be done before."""

    SAME = "same"
    WIDER = "wider"
    NARROWER = "narrower"
    UNCLEAR = "unclear"  # some of both, or it cannot be told


def together(found: Iterable[Access]) -> Access:
    """Several changes as one."""
    kinds = set(found) - {Access.SAME}
    if not kinds:
        return Access.SAME
    return kinds.pop() if len(kinds) == 1 else Access.UNCLEAR


def _either(*, no_more: bool, no_less: bool) -> Access:
    if no_more:
        return Access.SAME if no_less else Access.NARROWER
    return Access.WIDER if no_less else Access.UNCLEAR


# --- a change of a resource ---------------------------------------------------------------------

# Whatever changes in one of these is about who may do what, but for what is named here.
ABOUT_ACCESS = (
    "AWS::EC2::NetworkAclEntry",
    "AWS::EC2::Route",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::TransitGateway",
    "AWS::EC2::VPCEndpointServicePermissions",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::VPCPeeringConnection",
    "AWS::Events::EventBusPolicy",
    "AWS::IAM::",
    "AWS::IdentityStore::",
    "AWS::KMS::Grant",
    "AWS::LakeFormation::",
    "AWS::Lambda::LayerVersionPermission",
    "AWS::Lambda::Permission",
    "AWS::Organizations::",
    "AWS::RAM::",
    "AWS::RDS::DBSecurityGroup",
    "AWS::RolesAnywhere::",
    "AWS::SSO::",
    "AWS::VerifiedPermissions::",
)
HARMLESS = frozenset(
    {
        *("Description", "GroupDescription", "GroupName", "ManagedPolicyName"),
        *("MaxSessionDuration", "Path"),
        *("PolicyName", "RoleName", "Tags", "UserName", "VpcId"),
    }
)
# Properties that say as whom something acts, or who decides who comes in.
ACTS_AS = re.compile(
    r"(Role|RoleArn|RoleARN|Roles|InstanceProfile|PermissionsBoundary|AuthorizerId|Authorizers?"
    r"|Principals?|PublicAccessCidrs|AuthenticationType|CrossAccount\w*|TrustedKeyGroups"
    r"|TrustedSigners|OriginAccessControlId)$"
)
# What holds doors, where only the whole of it is told to change.
HOUSES = frozenset(
    {
        *("AdditionalAuthenticationProviders", "AdminCreateUserConfig", "DistributionConfig"),
        *("LaunchTemplateData", "NetworkConfiguration", "NetworkInterfaces", "ResourcesVpcConfig"),
    }
)


@dataclass(frozen=True, slots=True)
class _Door:
    """Which values of a property let everybody in. `absent` says the same of none: None where
    that hangs on something else. `others` tells whether closed values differ from each other."""

    open: frozenset[str]
    absent: bool | None = None
    others: bool = False


_TRUE, _FALSE = frozenset({"true"}), frozenset({"false"})
DOORS: Mapping[str, _Door] = {
    "AccessControl": _Door(
        frozenset({"publicread", "publicreadwrite", "authenticatedread"}), absent=False
    ),
    "AllowAdminCreateUserOnly": _Door(_FALSE, absent=True),
    "AllowUnauthenticatedIdentities": _Door(_TRUE),
    "ApiKeyRequired": _Door(_FALSE, absent=True),
    "AssignPublicIp": _Door(frozenset({"enabled"}), absent=False),
    "AssociatePublicIpAddress": _Door(_TRUE),
    "AuthType": _Door(frozenset({"none"}), absent=True, others=True),
    "AuthorizationType": _Door(frozenset({"none"}), absent=True, others=True),
    "BlockPublicAcls": _Door(_FALSE, absent=True),
    "BlockPublicPolicy": _Door(_FALSE, absent=True),
    "EndpointPublicAccess": _Door(_TRUE, absent=True),
    "IgnorePublicAcls": _Door(_FALSE, absent=True),
    "MapPublicIpOnLaunch": _Door(_TRUE, absent=False),
    "PubliclyAccessible": _Door(_TRUE),
    "RestrictPublicBuckets": _Door(_FALSE, absent=True),
    "Scheme": _Door(frozenset({"internet-facing"}), absent=True),
}
# Where a new one lets everybody in unless a property says otherwise.
OPEN_BY_ITSELF = {
    "AWS::ApiGateway::Method": "AuthorizationType",
    "AWS::ApiGatewayV2::Route": "AuthorizationType",
}


def judge_access(change: ResourceChange) -> tuple[Access, tuple[str, ...]]:
    """What a change does to access, and a line for each property that does something.

    Removing and importing change nothing that this could compare: they are risks of their own.
    """
    match change.action:
        case Action.ADD:
            found = dict(_added(change))
        case Action.MODIFY:
            found = dict(_modified(change))
        case _:
            found = {}
    telling = {name: access for name, access in found.items() if access is not Access.SAME}
    lines = tuple(f"{name}: {access}" for name, access in telling.items())
    return together(telling.values()), lines


def _added(change: ResourceChange) -> Iterator[tuple[str, Access]]:
    if change.after is None:
        if change.type.startswith(ABOUT_ACCESS):
            yield "all of it, which is not told", Access.UNCLEAR
        return
    after = change.after
    if (needed := OPEN_BY_ITSELF.get(change.type)) and needed not in after:
        yield needed, Access.WIDER
    if (whole := WHOLE.get(change.type)) is not None:
        yield "all of it", whole(None, after)
        return
    for name in sorted(after):
        found = _judged(change.type, name, None, after[name], is_new=True)
        # What is new cannot have less than before.
        yield name, Access.SAME if found is Access.NARROWER else found


def _modified(change: ResourceChange) -> Iterator[tuple[str, Access]]:
    named = {_top(one.path) for one in change.properties if one.attribute == "Properties"}
    before, after = change.before, change.after
    if before is None or after is None:
        yield from _untold(change, named)
        return
    if (whole := WHOLE.get(change.type)) is not None:
        yield "all of it", whole(before, after)
        return
    for name in sorted({*before, *after, *named} - {"", "Tags"}):
        was, will = before.get(name), after.get(name)
        if was != will:
            yield name, _judged(change.type, name, was, will, is_new=False)
        elif name in named and _is_hidden(was) and _may_matter(change.type, name, was):
            # Said to change, and shown the same: what changes is what is masked.
            yield name, Access.UNCLEAR


def _untold(change: ResourceChange, named: Iterable[str]) -> Iterator[tuple[str, Access]]:
    """What can be said where the values are not told: what might matter is unclear, unless a
    property's own values say more."""
    for name in sorted(named):
        told = [one for one in change.properties if _top(one.path) == name]
        values = [value for one in told for value in (one.before, one.after)]
        names = {name, *(one.path.rpartition("/")[2] for one in told)}
        if any(_may_matter(change.type, each, values) for each in names):
            yield name, Access.UNCLEAR
    of_properties = not change.scope or "Properties" in change.scope
    if of_properties and not any(named) and change.type.startswith(ABOUT_ACCESS):
        yield "all of it, which is not told", Access.UNCLEAR


def _top(path: str) -> str:
    parts = path.split("/")
    return parts[2] if path.startswith("/Properties/") else ""


def _may_matter(type_: str, name: str, value: Any) -> bool:
    """Whether a change of this property could be about access."""
    if type_.startswith(ABOUT_ACCESS):
        return name not in HARMLESS
    by_name = name in {*DOORS, *HOUSES} or (type_, name) in RULES or bool(ACTS_AS.search(name))
    return by_name or "Policy" in name or "AccessBlock" in name or _holds_statements(value)


def _judged(type_: str, name: str, was: Any, will: Any, *, is_new: bool) -> Access:
    """One property that changes; `is_new` where the resource was not there."""
    was, will = _read(was), _read(will)
    if name in HARMLESS:
        return Access.SAME
    if is_new and _holds_statements(will):
        return allows_something(will)
    if _is_hidden(was, will) and _may_matter(type_, name, [was, will]):
        return Access.UNCLEAR
    if (rule := RULES.get((type_, name)) or RULES.get(("", name))) is not None:
        return rule(was, will)
    found = list(_doors(name, was, will, is_new=is_new))
    if _holds_statements([was, will]):
        found.append(compare_policies(was, will))
    elif type_.startswith(ABOUT_ACCESS) or not (
        is_new or _acts_as(name, was) == _acts_as(name, will)
    ):
        found.append(Access.UNCLEAR)
    return together(found)


def _read(value: Any) -> Any:
    """The value, which may be JSON in a text."""
    if isinstance(value, str) and _looks_like_json(value):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in {"{", "["}


def _is_hidden(*values: Any) -> bool:
    """Whether something in the values is masked, or only executing will tell it."""
    text = json.dumps(values)
    return "{{" in text or MASK in text


def _named_leaves(name: str, value: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Of everything in a value the path, the last name and the text."""
    value = _read(value)
    if isinstance(value, Mapping):
        for key in value:
            yield from _named_leaves(str(key), value[key], f"{path}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _named_leaves(name, item, f"{path}/{number}")
    elif value is not None:
        yield path, name, value


def _acts_as(name: str, value: Any) -> list[tuple[str, Any]]:
    return [(path, item) for path, key, item in _named_leaves(name, value) if ACTS_AS.search(key)]


def _doors(name: str, was: Any, will: Any, *, is_new: bool) -> Iterator[Access]:
    def found(value: Any) -> dict[str, tuple[str, str]]:
        leaves = _named_leaves(name, value)
        return {path: (key, str(item).lower()) for path, key, item in leaves if key in DOORS}

    before, after = found(was), found(will)
    for path in sorted({*before, *after}):
        key = (after.get(path) or before[path])[0]
        old = before[path][1] if path in before else None
        new = after[path][1] if path in after else None
        yield _door(DOORS[key], old, new, is_new=is_new)


def _door(door: _Door, old: str | None, new: str | None, *, is_new: bool) -> Access:
    was = False if is_new else door.absent if old is None else old in door.open
    will = door.absent if new is None else new in door.open
    if was is None or will is None:
        known = will if was is None else was
        # From nothing to closed, or from open to nothing, is no more than before.
        harmless = (was is None and known is False) or (will is None and known is True)
        return Access.NARROWER if harmless else Access.UNCLEAR
    if was == will:
        differ = door.others and not was and not is_new and old != new
        return Access.UNCLEAR if differ else Access.SAME
    return Access.WIDER if will else Access.NARROWER


# --- properties with rules of their own ---------------------------------------------------------

Rule = Callable[[Any, Any], Access]


def _lists(was: Any, will: Any, covers: Callable[[Any, Any], bool]) -> Access:
    """Two lists of grants."""
    old, new = _as_list(was), _as_list(will)
    return _either(
        no_more=all(any(covers(one, each) for one in old) for each in new),
        no_less=all(any(covers(one, each) for one in new) for each in old),
    )


def _names(was: Any, will: Any) -> Access:
    return _lists(was, will, lambda one, other: bool(one == other))


def _managed_policies(was: Any, will: Any) -> Access:
    """A policy that is taken away may deny, if it is not one of AWS's that only allow."""
    found = _names(was, will)
    gone = [arn for arn in _as_list(was) if arn not in _as_list(will)]
    may_deny = [
        arn
        for arn in gone
        if not re.match(r"arn:[\w-]+:iam::aws:policy/", str(arn))
        or re.search(r"deny|quarantine|boundary", str(arn), re.IGNORECASE)
    ]
    return Access.UNCLEAR if may_deny else found


def _boundary(was: Any, will: Any) -> Access:
    """It only ever takes away (IAM User Guide, "Permissions boundaries for IAM entities")."""
    if was == will:
        return Access.SAME
    if was and will:
        return Access.UNCLEAR
    return Access.WIDER if was else Access.NARROWER


_SOURCES = (
    *("SourceSecurityGroupId", "SourceSecurityGroupName", "SourceSecurityGroupOwnerId"),
    *("SourcePrefixListId", "DestinationPrefixListId", "DestinationSecurityGroupId", "GroupId"),
    "GroupName",
)
_ALL_PORTS = (0, 65535)


def _traffic_covers(wide: Any, narrow: Any) -> bool:
    """Whether one rule of a security group lets through all that another one does."""
    if not isinstance(wide, Mapping) or not isinstance(narrow, Mapping):
        return False
    if any(wide.get(name) != narrow.get(name) for name in _SOURCES):
        return False
    return (
        _protocol_covers(wide, narrow)
        and _network_covers(wide.get("CidrIp"), narrow.get("CidrIp"))
        and _network_covers(wide.get("CidrIpv6"), narrow.get("CidrIpv6"))
    )


def _protocol_covers(wide: Json, narrow: Json) -> bool:
    """-1 is every protocol and port; -1 as a port of ICMP every type (Amazon EC2 API Reference,
    "IpPermission")."""
    if str(wide.get("IpProtocol")) == "-1":
        return True
    if str(wide.get("IpProtocol")).lower() != str(narrow.get("IpProtocol")).lower():
        return False
    (low, high), (first, last) = _ports(wide), _ports(narrow)
    return low <= first and last <= high


def _ports(rule: Json) -> tuple[int, int]:
    try:
        low, high = int(rule.get("FromPort", -1)), int(rule.get("ToPort", -1))
    except (TypeError, ValueError):
        return _ALL_PORTS
    return _ALL_PORTS if low == -1 else (low, high)


def _network_covers(wide: Any, narrow: Any) -> bool:
    if narrow is None or wide is None:
        return bool(wide == narrow)
    try:
        outer, inner = ip_network(str(wide), strict=False), ip_network(str(narrow), strict=False)
        return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # both of one version
    except ValueError:
        return bool(wide == narrow)


def _traffic(was: Any, will: Any) -> Access:
    return _lists(was, will, _traffic_covers)


def _one_rule(was: Any, will: Any) -> Access:
    """A rule of a security group that is a resource of its own."""
    if _is_hidden(was, will):
        return Access.UNCLEAR
    return _traffic([] if was is None else [was], [will])


def _permission(was: Any, will: Any) -> Access:
    """A permission of a function or a layer, as the statement that it becomes (AWS Lambda API
    Reference, "AddPermission")."""

    def statement(given: Json | None) -> Json:
        if given is None:
            return {"Statement": []}
        principal = str(given.get("Principal", given.get("OrganizationId", "*")))
        kind = "Service" if principal.endswith((".com", ".com.cn")) else "AWS"
        rest = {
            name: str(value)
            for name, value in given.items()
            if name not in {"Action", "FunctionName", "LayerVersionArn", "Principal"}
        }
        return {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": "*" if principal == "*" else {kind: principal},
                    "Action": given.get("Action", "*"),
                    "Resource": given.get("FunctionName", given.get("LayerVersionArn", "*")),
                    "Condition": {"StringEquals": rest} if rest else {},
                }
            ]
        }

    if _is_hidden(was, will) and was is not None:
        return Access.UNCLEAR
    return compare_policies(statement(was), statement(will))


def _api_body(was: Any, will: Any) -> Access:
    """What an OpenAPI document says of who may call what; all else in it is none of access."""

    def reduced(body: Any) -> Any:
        if isinstance(body, Mapping):
            return {
                name: reduced(item)
                for name, item in body.items()
                if name not in {"x-amazon-apigateway-integration", "info"}
            }
        return [reduced(item) for item in body] if isinstance(body, list) else body

    if was is None:
        return Access.UNCLEAR
    return Access.SAME if reduced(was) == reduced(will) else Access.UNCLEAR


RULES: Mapping[tuple[str, str], Rule] = {
    ("", "ManagedPolicyArns"): _managed_policies,
    ("", "PermissionsBoundary"): _boundary,
    ("AWS::ApiGateway::RestApi", "Body"): _api_body,
    ("AWS::ApiGatewayV2::Api", "Body"): _api_body,
    ("AWS::EC2::SecurityGroup", "SecurityGroupEgress"): _traffic,
    ("AWS::EC2::SecurityGroup", "SecurityGroupIngress"): _traffic,
    ("AWS::IAM::ManagedPolicy", "Groups"): _names,
    ("AWS::IAM::ManagedPolicy", "Roles"): _names,
    ("AWS::IAM::ManagedPolicy", "Users"): _names,
    ("AWS::IAM::Policy", "Groups"): _names,
    ("AWS::IAM::Policy", "Roles"): _names,
    ("AWS::IAM::Policy", "Users"): _names,
    ("AWS::IAM::User", "Groups"): _names,
}
# Types of which one resource is one grant.
WHOLE: Mapping[str, Rule] = {
    "AWS::EC2::SecurityGroupEgress": _one_rule,
    "AWS::EC2::SecurityGroupIngress": _one_rule,
    "AWS::Lambda::LayerVersionPermission": _permission,
    "AWS::Lambda::Permission": _permission,
}


# --- policies -----------------------------------------------------------------------------------


def _holds_statements(value: Any) -> bool:
    value = _read(value)
    if isinstance(value, Mapping):
        return "Statement" in value or any(map(_holds_statements, value.values()))
    if isinstance(value, str):  # one that was cut
        return _looks_like_json(value) and '"Statement"' in value
    return isinstance(value, list) and any(map(_holds_statements, value))


@dataclass(frozen=True, slots=True)
class _Some:
    """Some names, as one pattern; or with `but`, all that no pattern of these matches."""

    pattern: str = "*"
    but: tuple[str, ...] = ()


Conditions = frozenset[tuple[str, str, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class _Grant:
    """One action of one principal on one resource, each of them a pattern."""

    allows: bool
    principal: _Some
    action: _Some
    resource: _Some
    conditions: Conditions


class _UnreadableError(Exception):
    """This is no policy that we understand."""


def compare_policies(before: Any, after: Any) -> Access:
    """Two policies, or lists of policies that count together; None is one that allows nothing.

    Shapes: IAM User Guide, "IAM JSON policy elements reference"; a text is read as JSON.
    """
    if before == after and not _is_hidden(before):
        return Access.SAME
    if _is_hidden(before, after):
        return Access.UNCLEAR
    try:
        old, new = tuple(_grants(before)), tuple(_grants(after))
    except _UnreadableError:
        return Access.UNCLEAR
    if "${" in json.dumps([before, after]) and _versions(before) != _versions(after):
        return Access.UNCLEAR  # variables are texts in the older version
    return _either(no_more=_no_more(old, new), no_less=_no_more(new, old))


def _versions(value: Any) -> set[str]:
    return {str(item) for _, name, item in _named_leaves("", value) if name == "Version"}


def allows_something(policy: Any) -> Access:
    """What a new policy does, or a list of them: WIDER where anything is allowed at all."""
    try:
        allows = any(one.allows for one in _grants(policy))
    except _UnreadableError:
        return Access.UNCLEAR
    return Access.WIDER if allows else Access.SAME


def _no_more(old: Sequence[_Grant], new: Sequence[_Grant]) -> bool:
    """Whether the new grants allow nothing that the old ones did not."""
    allowed, denied = _sorted_out(old)
    allowed_now, denied_now = _sorted_out(new)
    return all(any(_covers(one, each) for one in allowed) for each in allowed_now) and all(
        any(_covers(one, each) for one in denied_now) for each in denied
    )


def _sorted_out(grants: Sequence[_Grant]) -> tuple[list[_Grant], list[_Grant]]:
    """What is allowed and what is denied; what is allowed and always denied is left out."""
    denied = [one for one in grants if not one.allows]
    allowed = [
        one for one in grants if one.allows and not any(_covers(deny, one) for deny in denied)
    ]
    return allowed, denied


def _grants(value: Any) -> Iterator[_Grant]:
    """Every grant of every policy in a value."""
    value = _read(value)
    if isinstance(value, str) and _looks_like_json(value):
        raise _UnreadableError
    if isinstance(value, list):
        for item in value:
            yield from _grants(item)
    elif isinstance(value, Mapping) and "Statement" in value:
        for statement in _as_list(value["Statement"]):
            yield from _grants_of(statement)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _grants(item)


def _grants_of(statement: Any) -> Iterator[_Grant]:
    if not isinstance(statement, Mapping) or statement.get("Effect") not in {"Allow", "Deny"}:
        raise _UnreadableError
    if not ("Action" in statement) ^ ("NotAction" in statement):
        raise _UnreadableError
    conditions = _conditions(statement.get("Condition", {}))
    for principal, action, resource in product(
        _principals(statement),
        _some(statement, "Action", str.lower),
        _some(statement, "Resource", str),
    ):
        yield _Grant(statement["Effect"] == "Allow", principal, action, resource, conditions)


def _some(statement: Json, name: str, spelt: Callable[[str], str]) -> Iterator[_Some]:
    if f"Not{name}" in statement:
        yield _Some(but=tuple(sorted(map(spelt, _strings(statement[f"Not{name}"])))))
    else:
        for one in _strings(statement.get(name, "*")):
            yield _Some(spelt(one))


def _principals(statement: Json) -> Iterator[_Some]:
    if "NotPrincipal" in statement:  # who is meant hangs on sessions, and on accounts of others
        raise _UnreadableError
    for one in _each_principal(statement.get("Principal", "*")):
        yield _Some(one)


def _each_principal(value: Any) -> Iterator[str]:
    """Each with its kind. An account is its root, and * is everybody, of whatever kind (IAM User
    Guide, "AWS JSON policy elements: Principal")."""
    if value == "*":
        yield "*"
        return
    if not isinstance(value, Mapping):
        raise _UnreadableError
    for kind, names in value.items():
        for name in _strings(names):
            root = re.fullmatch(r"arn:[\w-]+:iam::(\d{12}):root", name)
            yield "*" if name == "*" else f"{kind}:{root[1] if root else name}"


def _strings(value: Any) -> list[str]:
    found = _as_list(value)
    if not all(isinstance(one, str) for one in found):
        raise _UnreadableError
    return found


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _conditions(value: Any) -> Conditions:
    if not isinstance(value, Mapping):
        raise _UnreadableError
    found = []
    for operator, keys in value.items():
        if not isinstance(keys, Mapping):
            raise _UnreadableError
        for key, values in keys.items():
            texts = frozenset(
                str(one).lower() if isinstance(one, bool) else str(one) for one in _as_list(values)
            )
            found.append((str(operator).lower(), str(key).lower(), texts))
    return frozenset(found)


def _covers(wide: _Grant, narrow: _Grant) -> bool:
    """Whether one grant matches every request that another one does."""
    return (
        _some_covers(wide.principal, narrow.principal)
        and _some_covers(wide.action, narrow.action)
        and _some_covers(wide.resource, narrow.resource)
        and all(any(_follows(one, given) for given in narrow.conditions) for one in wide.conditions)
    )


def _some_covers(wide: _Some, narrow: _Some) -> bool:
    if wide.but and narrow.but:
        return all(any(pattern_covers(y, x) for y in narrow.but) for x in wide.but)
    if wide.but:
        return not any(patterns_meet(one, narrow.pattern) for one in wide.but)
    if narrow.but:
        return wide.pattern == "*"
    return pattern_covers(wide.pattern, narrow.pattern)


NEGATED = ("notequals", "notlike", "notipaddress", "notequalsignorecase")


def _follows(
    wanted: tuple[str, str, frozenset[str]], given: tuple[str, str, frozenset[str]]
) -> bool:
    """Whether what a condition wants is so wherever another one is met."""
    operator, key, values = wanted
    other, other_key, other_values = given
    if key != other_key:
        return False
    # What need not be there is met wherever it must be; and Like wherever Equals is.
    lenient = operator.removesuffix("ifexists")
    strict = {operator, lenient, {"stringlike": "stringequals"}.get(lenient, lenient)}
    if other not in strict:
        return False
    if lenient.endswith(NEGATED):
        return all(
            any(_value_covers(lenient, mine, one) for mine in other_values) for one in values
        )
    if lenient.startswith(("numeric", "date", "null", "bool", "binary")):
        return values == other_values
    return all(any(_value_covers(lenient, one, each) for one in values) for each in other_values)


def _value_covers(operator: str, wide: str, narrow: str) -> bool:
    if "arn" in operator:  # its six parts are compared one by one
        outer, inner = wide.split(":", 5), narrow.split(":", 5)
        return len(outer) == len(inner) and all(map(pattern_covers, outer, inner))
    if operator.endswith("like"):
        return pattern_covers(wide, narrow)
    if operator.endswith("ipaddress"):
        return _network_covers(wide, narrow)
    return wide == narrow


VARIABLE = re.compile(r"\$\{[^}]*\}")


@lru_cache(maxsize=4096)
def pattern_covers(wide: str, narrow: str) -> bool:
    """Whether a pattern with * and ? matches everything that another one does. `False` may mean
    that it cannot be told; a policy variable is matched by itself or by *."""
    if wide in {narrow, "*"}:
        return True
    if "${" in wide:
        return False
    # A variable may be of any length.
    return _matches(wide, VARIABLE.sub("*", narrow))


def _matches(wide: str, narrow: str) -> bool:
    """`narrow` as a text, in which * is only matched by *, and ? by both."""
    reached = {0}
    for letter in narrow:
        reached = _after_stars(wide, reached)
        reached = {
            place if wide[place] == "*" else place + 1
            for place in reached
            if place < len(wide)
            and (
                wide[place] == "*"
                or (wide[place] == "?" and letter != "*")
                or (wide[place] == letter and letter not in "*?")
            )
        }
    return len(wide) in _after_stars(wide, reached)


def _after_stars(pattern: str, places: Iterable[int]) -> set[int]:
    found = set(places)
    for place in sorted(found):
        while place < len(pattern) and pattern[place] == "*":
            place += 1  # noqa: PLW2901  walks over the stars
            found.add(place)
    return found


@lru_cache(maxsize=4096)
def patterns_meet(one: str, other: str) -> bool:
    """Whether any text is matched by both patterns."""
    one, other = VARIABLE.sub("*", one), VARIABLE.sub("*", other)
    seen, ahead = set(), [(0, 0)]
    while ahead:
        place = ahead.pop()
        if place in seen:
            continue
        seen.add(place)
        i, j = place
        a, b = one[i : i + 1], other[j : j + 1]
        if not a and not b:
            return True
        if a == "*":
            ahead += [(i + 1, j)] + ([(i, j + 1)] if b else [])
        if b == "*":
            ahead += [(i, j + 1)] + ([(i + 1, j)] if a else [])
        if a and b and "*" not in {a, b} and (a == b or "?" in {a, b}):
            ahead.append((i + 1, j + 1))
    return False
