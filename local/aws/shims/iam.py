"""Who calls, what is asked about, under which conditions: what policies decide on.

Two of the functions are what other services' shims authorise with.
"""

# ruff: noqa: SLF001 - what MiniStack does not do, it offers no hook for

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

from ministack import app
from ministack.core import iam_actions
from ministack.core import iam_evaluator as iam
from ministack.core.responses import get_account_id
from ministack.services import iam as iam_service
from ministack.services import kms, organizations

from local.aws.shims.s3 import owner_of

ORGANIZATION = "o-foothold01"
MEMBERS = frozenset({"111111111111", "222222222222", "333333333333"})


def authorize_on(service: str, resource_of: Callable[..., str | None]) -> None:
    """Have this service's calls authorised on the ARN that `resource_of` returns.

    It is given the request's method, path, headers, body, parameters, region and account; where
    it returns None, the resource is the one that upstream knows.
    """
    extract = iam_actions.extract_resource_arn

    def extract_resource_arn(asked: str, *request: Any) -> Any:
        found = resource_of(*request) if asked == service else None
        return found or extract(asked, *request)

    iam_actions.extract_resource_arn = extract_resource_arn


def condition_keys(value_of: Callable[[str, Any], Any]) -> None:
    """Have conditions see what `value_of` returns for a key in lower case and its context; where
    that is None, what upstream knows."""
    resolve = iam._resolve_condition_key

    def resolve_condition_key(key: str, context: Any) -> Any:
        found = value_of(key.lower(), context)
        return resolve(key, context) if found is None else found

    iam._resolve_condition_key = resolve_condition_key


def organization_membership() -> None:
    """aws:PrincipalOrgID names the organisation that the caller's account belongs to.

    Upstream models no member accounts. Here the three accounts of the project share one
    organisation, and are told so; any other account is in none, or in one of its own once it has
    called AWS Organizations (IAM User Guide, "AWS global condition context keys": the key is absent
    for an account outside any organisation).
    """
    own, ensure = iam._principal_org_id, organizations._ensure_org
    iam._principal_org_id = lambda account: ORGANIZATION if account in MEMBERS else own(account)

    def ensure_org() -> None:
        ensure()
        if organizations.get_account_id() in MEMBERS:
            organizations._orgs["self"]["Id"] = ORGANIZATION

    organizations._ensure_org = ensure_org


def role_principals() -> None:
    """A bucket policy of another account meets the caller's role, not only its account.

    aws:PrincipalArn is the role's ARN, with its path, for a session of the role (IAM User Guide,
    "AWS global condition context keys"); upstream gives the session's ARN. And across accounts
    upstream asks a bucket policy about the root of the caller's account, so that no policy naming
    a role ever matches.
    """
    evaluate = iam.evaluate_resource_policy

    def principal(key: str, context: Any) -> str | None:
        return role_arn(context.principal_arn) if key == "aws:principalarn" else None

    def evaluate_resource_policy(policy: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        caller = iam.caller_arn()
        if (
            context.action.startswith("s3:")
            and context.principal_type == "Root"
            and ":assumed-role/" in caller
            and caller.split(":")[4] == context.principal_account
        ):
            context = replace(context, principal_arn=caller, principal_type="AssumedRole")
        return evaluate(policy, context, *args, **kwargs)

    condition_keys(principal)
    iam.evaluate_resource_policy = evaluate_resource_policy


def role_arn(principal_arn: str) -> str:
    """The ARN of the role whose session this is; any other principal's ARN as it is."""
    if ":assumed-role/" not in principal_arn:
        return principal_arn
    account, name = principal_arn.split(":")[4], principal_arn.split("/")[1]
    role = iam_service._roles.get_scoped(account, None, name)
    return str(role["Arn"]) if role else principal_arn


def resource_account() -> None:
    """aws:ResourceAccount of a bucket is the account that owns it, and aws:ResourceOrgID of a
    bucket or a role the organisation of its account.

    Upstream takes the caller's account, so a policy that keeps a role off foreign buckets keeps
    it off none, and knows no organisation (IAM User Guide, "AWS global condition context keys").
    """

    def owner(key: str, context: Any) -> str | None:
        if key not in ("aws:resourceaccount", "s3:resourceaccount", "aws:resourceorgid"):
            return None
        _, _, bucket = context.resource_arn.partition(":s3:::")
        account = owner_of(bucket.split("/")[0]) if bucket else None
        if key != "aws:resourceorgid":
            return account
        account = account or iam._account_from_arn(context.resource_arn)
        organization: str | None = iam._principal_org_id(account) if account else None
        return organization

    condition_keys(owner)


def authorized_resources() -> None:
    """Calls about parameters and aliases are authorised on what they name.

    Upstream knows the resource of a single parameter only; for the rest it asks the policies about
    `*` or about an alias. AWS asks about each parameter named, the path, the key behind an alias,
    and for CreateAlias about the alias and its key (Service Authorization Reference, "Actions,
    resources, and condition keys" of AWS Systems Manager and of AWS KMS).
    """
    enforce = iam.enforce

    def parameters(*request: Any) -> str | None:
        _method, _path, _headers, body, _params, region, account = request
        asked = json.loads(body or b"{}")
        names = asked.get("Names") or [asked.get("Path")]
        return Resources.of(
            f"arn:aws:ssm:{region}:{account}:parameter/{n.strip('/')}" for n in names if n
        )

    def keys(*request: Any) -> str | None:
        _method, _path, _headers, body, _params, region, account = request
        asked = json.loads(body or b"{}")
        aliases = [asked["AliasName"]] if "AliasName" in asked else []
        named = [asked[field] for field in ("KeyId", "TargetKeyId") if field in asked]
        return Resources.of(
            [f"arn:aws:kms:{region}:{account}:{alias}" for alias in aliases]
            + [key_arn(name, region, account) for name in named]
        )

    def enforce_all(*args: Any, resource_arn: str = "*", **kwargs: Any) -> Any:
        for arn in getattr(resource_arn, "arns", [resource_arn]):
            if denied := enforce(*args, resource_arn=arn, **kwargs):
                return denied
        return None

    authorize_on("ssm", parameters)
    authorize_on("kms", keys)
    iam.enforce = enforce_all


class Resources(str):
    """The ARN of the first of several resources, all of which a call must be allowed on."""

    __slots__ = ("arns",)
    arns: list[str]

    @classmethod
    def of(cls, arns: Iterable[str]) -> Self | None:
        """None where there are none."""
        each = list(arns)
        if not each:
            return None
        self = cls(each[0])
        self.arns = each
        return self


def key_arn(name: str, region: str, account: str) -> str:
    """The ARN of the key that an ARN, an id or an alias means; of any key where it means none."""
    key = kms._resolve_key(name)
    return str(key["Arn"]) if key else f"arn:aws:kms:{region}:{account}:key/none"


def account_actions() -> None:
    """Calls of the account API are authorised, on the account itself.

    Upstream lets every role make them (Service Authorization Reference, "Actions, resources, and
    condition keys for AWS Account Management").
    """
    action_of = iam_actions.extract_iam_action

    def extract_iam_action(service: str, method: str, path: str, *request: Any) -> Any:
        if service == "account":  # POST /listRegions
            return f"account:{path[1:2].upper()}{path[2:]}"
        return action_of(service, method, path, *request)

    iam_actions.extract_iam_action = extract_iam_action
    authorize_on("account", lambda *_: f"arn:aws:account::{get_account_id()}:account")


def loopback_tls() -> None:
    """A request over loopback counts as sent over TLS, as every call to AWS by its SDKs is.

    The emulator speaks plain HTTP, and takes a request for TLS only if a proxy in front of it
    says so. A request that says `x-forwarded-proto: http` still counts as plain.
    """
    serve = app.app

    async def behind_tls(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = scope.get("headers", [])
        if not any(name.lower() == b"x-forwarded-proto" for name, _ in headers):
            scope = {**scope, "headers": [*headers, (b"x-forwarded-proto", b"https")]}
        await serve(scope, receive, send)

    app.app = behind_tls
