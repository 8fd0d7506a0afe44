"""What MiniStack 1.5.33 lacks of AWS and this project needs, each gap closed by one function.

Every gap has two tests in tests/embedded/test_shims.py: one that AWS's behaviour is there, and
one that a MiniStack without the shim still lacks it. The second fails on the day that upstream
closes the gap; then remove the shim.
"""

# ruff: noqa: SLF001 - what MiniStack does not do, it offers no hook for

import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from ministack import app
from ministack.core import iam_actions, lambda_runtime
from ministack.core import iam_evaluator as iam
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.core.router import extract_access_key_id
from ministack.services import iam as iam_service
from ministack.services import kms, lambda_svc, s3

from local.lifecycle_shims import event_conditions, pipeline_registry
from local.rehearsal_shims import nested_transforms, pipeline_jobs
from local.stack_shims import condition_values, conditional_changes, declared_parameters

ORGANIZATION = "o-foothold01"
MEMBERS = frozenset({"111111111111", "222222222222", "333333333333"})

KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"

Answer = tuple[int, dict[str, str], bytes]


def organization_membership() -> None:
    """aws:PrincipalOrgID names the organisation that the caller's account belongs to.

    Upstream models no member accounts. Here the three accounts of the project share one
    organisation; any other account is in none, or in one of its own once it has called AWS
    Organizations (IAM User Guide, "AWS global condition context keys": the key is absent for an
    account outside any organisation).
    """
    own = iam._principal_org_id
    iam._principal_org_id = lambda account: ORGANIZATION if account in MEMBERS else own(account)


def role_principals() -> None:
    """A bucket policy of another account meets the caller's role, not only its account.

    aws:PrincipalArn is the role's ARN, with its path, for a session of the role (IAM User Guide,
    "AWS global condition context keys"); upstream gives the session's ARN. And across accounts
    upstream asks a bucket policy about the root of the caller's account, so that no policy naming
    a role ever matches.
    """
    resolve, evaluate = iam._resolve_condition_key, iam.evaluate_resource_policy

    def resolve_condition_key(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn":
            return role_arn(context.principal_arn)
        return resolve(key, context)

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

    iam._resolve_condition_key = resolve_condition_key
    iam.evaluate_resource_policy = evaluate_resource_policy


def role_arn(principal_arn: str) -> str:
    """The ARN of the role whose session this is; any other principal's ARN as it is."""
    if ":assumed-role/" not in principal_arn:
        return principal_arn
    account, name = principal_arn.split(":")[4], principal_arn.split("/")[1]
    role = iam_service._roles.get_scoped(account, None, name)
    return str(role["Arn"]) if role else principal_arn


def owner_of(bucket: str) -> str | None:
    """The account that owns the bucket. Upstream's own look-up walks a dictionary that other
    threads may change meanwhile."""
    for account, name in list(s3._buckets._data):
        if name == bucket:
            return str(account)
    return None


def resource_account() -> None:
    """aws:ResourceAccount of a bucket is the account that owns it.

    Upstream takes the caller's, so a policy that keeps a role off foreign buckets keeps it off
    none (IAM User Guide, "AWS global condition context keys").
    """
    resolve = iam._resolve_condition_key

    def resolve_condition_key(key: str, context: Any) -> Any:
        if key.lower() in ("aws:resourceaccount", "s3:resourceaccount"):
            _, _, bucket = context.resource_arn.partition(":s3:::")
            owner = owner_of(bucket.split("/")[0]) if bucket else None
            if owner:
                return owner
        return resolve(key, context)

    iam._resolve_condition_key = resolve_condition_key


def foreign_code() -> None:
    """Lambda code and templates are read from another account's bucket, where its policy allows.

    Upstream looks in the caller's own account only and, where it finds no code, makes a function
    that answers with a mock. AWS reads the object as the caller, in the function's own region,
    and refuses a function whose code it cannot read (AWS Lambda Developer Guide, "Deploying
    Lambda functions as .zip file archives").
    """
    read, region_of, fetch = s3._get_object_data, s3.bucket_region, lambda_svc._fetch_code_from_s3

    def get_object_data(bucket: str, key: str, version_id: str | None = None) -> bytes | None:
        owner, caller = owner_of(bucket), get_account_id()
        if owner in (None, caller):
            found = read(bucket, key, version_id)
        elif s3._foreign_bucket_allows(
            owner, bucket, key, "GET", {"versionId": [version_id]} if version_id else {}, caller
        ):
            with request_scope(owner, get_region()):
                found = read(bucket, key, version_id)
        else:
            found = None
        return bytes(found) if found is not None else None

    def bucket_region(bucket: str) -> str | None:
        with request_scope(owner_of(bucket) or get_account_id(), get_region()):
            region: str | None = region_of(bucket)
            return region

    def fetch_code_from_s3(bucket: str, key: str, version_id: str | None = None) -> bytes:
        code = fetch(bucket, key, version_id)
        if code is None:
            raise ValueError(
                "Your access has been denied by S3, please make sure your request credentials "
                f"have permission to GetObject for {bucket}/{key}."
            )
        return bytes(code)

    s3._get_object_data = get_object_data
    s3.bucket_region = bucket_region
    lambda_svc._fetch_code_from_s3 = fetch_code_from_s3


def loopback_tls() -> None:
    """A request over loopback counts as sent over TLS, as every call to AWS by its SDKs is.

    The emulator speaks plain HTTP, and takes a request for TLS only if a proxy in front of it
    says so. A request that says `x-forwarded-proto: http` still counts as plain.
    """
    serve = app.app

    async def behind_tls(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        headers = scope.get("headers", [])
        if not any(name.lower() == b"x-forwarded-proto" for name, _ in headers):
            scope = {**scope, "headers": [*headers, (b"x-forwarded-proto", b"https")]}
        await serve(scope, receive, send)

    app.app = behind_tls


def tls_versions() -> None:
    """A policy on S3 sees over which version of TLS a request came.

    It is 1.3, unless the request says another in `x-amzn-tls-version`. Upstream knows no
    s3:TlsVersion (Service Authorization Reference, "Condition keys for Amazon S3").
    """
    context_of = iam_actions.s3_service_context

    def s3_service_context(action: str, query: Any, path: str, headers: Any) -> dict[str, Any]:
        context: dict[str, Any] = context_of(action, query, path, headers)
        if iam._request_origin.get()[1]:
            context["s3:TlsVersion"] = headers.get("x-amzn-tls-version", "1.3")
        return context

    iam_actions.s3_service_context = s3_service_context


def expected_bucket_owner() -> None:
    """A request that names another owner of the bucket than the true one is refused.

    Upstream ignores x-amz-expected-bucket-owner (Amazon S3 User Guide, "Verifying bucket
    ownership with bucket owner condition": 403 Access Denied).
    """
    scope = s3._apply_bucket_scope

    def apply_bucket_scope(
        method: str, bucket: str, key: str, headers: dict[str, str], *args: Any, **kwargs: Any
    ) -> Any:
        source = headers.get("x-amz-copy-source", "").lstrip("/").partition("/")[0]
        for name, header in (
            (bucket, "x-amz-expected-bucket-owner"),
            (source, "x-amz-source-expected-bucket-owner"),
        ):
            owner = owner_of(name)
            if owner and headers.get(header, owner) != owner:
                return s3_error("AccessDenied", "Access Denied", 403)
        return scope(method, bucket, key, headers, *args, **kwargs)

    s3._apply_bucket_scope = apply_bucket_scope


def object_encryption() -> None:
    """An object under a KMS key is read and written only while the key and its policy allow it.

    Upstream stores the key's name and never asks KMS. On AWS, S3 uses the key for its caller:
    kms:Decrypt to read, kms:GenerateDataKey to write, with kms:ViaService, and a key that is not
    enabled serves nobody (Amazon S3 User Guide, "Using server-side encryption with AWS KMS keys";
    Amazon S3 API Reference, "Error responses").
    """
    get, resolve = s3._get_object, s3._resolve_sse_write_headers

    def get_object(
        bucket: str, key: str, headers: dict[str, str], query: dict[str, Any] | None = None
    ) -> Any:
        answer = get(bucket, key, headers, query)
        return key_refusal("kms:Decrypt", bucket, answer[1], headers, query or {}) or answer

    def resolve_sse_write_headers(headers: dict[str, str], bucket: str) -> Any:
        stored, error = resolve(headers, bucket)
        return stored, error or key_refusal("kms:GenerateDataKey", bucket, stored, headers, {})

    s3._get_object = get_object
    s3._resolve_sse_write_headers = resolve_sse_write_headers


def key_refusal(
    action: str,
    bucket: str,
    stored: dict[str, str],
    headers: dict[str, str],
    query: dict[str, Any],
) -> Answer | None:
    """What S3 answers a caller who may not do this with the key the object is stored under. All
    buckets have a bucket key here, so the context of the encryption is the bucket.

    `stored` are the object's encryption headers, `headers` and `query` those of the request.
    Returns None where the key may be used, or where none is named by its ARN.
    """
    arn = stored.get(KEY_HEADER, "")
    if not arn.startswith("arn:"):
        return None
    _, _, _, region, owner, resource = arn.split(":", 5)
    key = kms._keys.get_scoped(owner, region, resource.removeprefix("key/"))
    state = key["KeyState"] if key else None
    if state != "Enabled":
        codes = {None: "NotFoundException", "Disabled": "DisabledException"}
        code = codes.get(state, "KMSInvalidStateException")
        return s3_error(f"KMS.{code}", f"{arn} is {state or 'unknown'}.", 400)
    access_key = extract_access_key_id(headers, query)
    if not access_key:
        return None  # MiniStack's own calls, and public reads
    caller = iam.resolve_principal(access_key, s3._account_from_access_key(access_key))
    if isinstance(caller, iam.AuthError) or caller.policies is None:
        return None  # what MiniStack has refused already, and an account's root
    context = iam.EvalContext(
        principal_arn=caller.arn,
        principal_type=caller.type,
        principal_account=caller.account,
        action=action,
        resource_arn=arn,
        region=region,
        service_context={
            "kms:viaservice": f"s3.{region}.amazonaws.com",
            "kms:calleraccount": caller.account,
            "kms:encryptioncontext:aws:s3:arn": f"arn:aws:s3:::{bucket}",
            **{f"aws:resourcetag/{tag['TagKey']}".lower(): tag["TagValue"] for tag in key["Tags"]},
        },
        principal_keys=caller.keys,
    )
    decision = iam.combine_resource_policy(
        iam.evaluate(context, caller.policies, *caller.limits),
        context,
        key["Policy"],
        owner,
        required=True,
        limits=caller.limits,
    ).decision
    if decision == "Allow":
        return None
    return s3_error("AccessDenied", f"User: {caller.arn} is not authorized: {action} {arn}", 403)


def s3_error(code: str, message: str, status: int) -> Answer:
    answer: Answer = s3._error(code, message, status)
    return answer


def authorized_resources() -> None:
    """Calls about parameters and aliases are authorised on what they name.

    Upstream knows the resource of a single parameter only; for the rest it asks the policies about
    `*` or about an alias. AWS asks about each parameter named, the path, the key behind an alias,
    and for CreateAlias about the alias and its key (Service Authorization Reference, "Actions,
    resources, and condition keys" of AWS Systems Manager and of AWS KMS).
    """
    extract, enforce = iam_actions.extract_resource_arn, iam.enforce

    def extract_resource_arn(service: str, *request: Any) -> str:
        found: str = extract(service, *request)
        _method, _path, _headers, body, _params, region, account = request
        # Only of these two: another's body may be an object that begins like JSON and is none.
        asked = json.loads(body or b"{}") if service in ("ssm", "kms") else {}
        arns = []
        if service == "ssm":
            names = asked.get("Names") or [asked.get("Path")]
            arns = [f"arn:aws:ssm:{region}:{account}:parameter/{n.strip('/')}" for n in names if n]
        if service == "kms":
            aliases = [asked["AliasName"]] if "AliasName" in asked else []
            keys = [asked[field] for field in ("KeyId", "TargetKeyId") if field in asked]
            arns = [f"arn:aws:kms:{region}:{account}:{alias}" for alias in aliases]
            arns += [key_arn(key, region, account) for key in keys]
        return Resources(arns) if arns else found

    def enforce_all(*args: Any, resource_arn: str = "*", **kwargs: Any) -> Any:
        for arn in getattr(resource_arn, "arns", [resource_arn]):
            if denied := enforce(*args, resource_arn=arn, **kwargs):
                return denied
        return None

    iam_actions.extract_resource_arn = extract_resource_arn
    iam.enforce = enforce_all


class Resources(str):
    """The ARN of the first of several resources, all of which a call must be allowed on."""

    __slots__ = ("arns",)
    arns: list[str]

    def __new__(cls, arns: list[str]) -> Self:
        self = super().__new__(cls, arns[0])
        self.arns = arns
        return self


def key_arn(name: str, region: str, account: str) -> str:
    """The ARN of the key that an ARN, an id or an alias means; of any key where it means none."""
    key = kms._resolve_key(name)
    return str(key["Arn"]) if key else f"arn:aws:kms:{region}:{account}:key/none"


def foreign_keys() -> None:
    """A key of another account is found by its ARN, and its policy has a say.

    Upstream looks in the caller's own account only (AWS KMS Developer Guide, "Allowing users in
    other accounts to use a KMS key"). The root of another account, which passes every policy
    here, still finds none.
    """
    resolve = kms._resolve_key

    def resolve_key(name: str) -> Any:
        found = resolve(name)
        if found or not name.startswith("arn:") or iam.caller_arn().endswith(":root"):
            return found
        _, _, _, region, owner, resource = name.split(":", 5)
        if region != get_region() or not resource.startswith("key/"):
            return None
        return kms._keys.get_scoped(owner, region, resource.removeprefix("key/"))

    def key_policy_for_arn(arn: str) -> tuple[str, str] | None:
        key = resolve_key(arn)
        return (key["Policy"], arn.split(":")[4]) if key else None

    kms._resolve_key = resolve_key
    kms.key_policy_for_arn = key_policy_for_arn


def account_actions() -> None:
    """Calls of the account API are authorised, on the account itself.

    Upstream lets every role make them (Service Authorization Reference, "Actions, resources, and
    condition keys for AWS Account Management").
    """
    action_of, resource_of = iam_actions.extract_iam_action, iam_actions.extract_resource_arn

    def extract_iam_action(service: str, method: str, path: str, *request: Any) -> Any:
        if service == "account":  # POST /listRegions
            return f"account:{path[1:2].upper()}{path[2:]}"
        return action_of(service, method, path, *request)

    def extract_resource_arn(service: str, *request: Any) -> Any:
        if service == "account":
            return f"arn:aws:account::{get_account_id()}:account"
        return resource_of(service, *request)

    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.extract_resource_arn = extract_resource_arn


def write_conditions() -> None:
    """A bucket policy sees which key a write names, and whether the writer brings its own.

    Upstream shows policies the algorithm only (Service Authorization Reference, "Condition keys
    for Amazon S3"). As upstream has it for the algorithm, a part of an upload is written as the
    upload was begun.
    """
    context_of = iam_actions.s3_service_context

    def s3_service_context(action: str, query: Any, path: str, headers: Any) -> dict[str, Any]:
        context: dict[str, Any] = context_of(action, query, path, headers)
        upload = s3._multipart_uploads.get(iam_actions._query_param(query or {}, "uploadId"))
        if upload and upload["requested_sse"]:
            headers = upload["preserved_headers"]
        for header in (KEY_HEADER, "x-amz-server-side-encryption-customer-algorithm"):
            if action == "s3:PutObject" and headers.get(header):
                context[f"s3:{header}"] = headers[header]
        return context

    iam_actions.s3_service_context = s3_service_context


def bare_runtime() -> None:
    """A function finds the packages of its own code and layers, not those of the emulator.

    Upstream runs functions with its own interpreter, so that a package missing from a layer is
    found in the emulator's environment, and the function fails on AWS only.
    """
    detect = lambda_runtime._detect_runtime_binary

    def detect_runtime_binary(runtime: str) -> tuple[str, str]:
        binary, script = detect(runtime)
        # The interpreter that the environment was made from.
        return (os.path.realpath(binary) if binary == sys.executable else binary), script

    lambda_runtime._detect_runtime_binary = detect_runtime_binary


SHIMS: dict[str, Callable[[], None]] = {
    shim.__name__: shim
    for shim in (
        organization_membership,
        role_principals,
        resource_account,
        authorized_resources,
        foreign_keys,
        account_actions,
        write_conditions,
        foreign_code,
        loopback_tls,
        tls_versions,
        expected_bucket_owner,
        object_encryption,
        bare_runtime,
        condition_values,
        conditional_changes,
        declared_parameters,
        nested_transforms,
        pipeline_jobs,
        pipeline_registry,
        event_conditions,
    )
}


def apply(without: Sequence[str] = ()) -> None:
    """Close every gap but those named, none at all for `all`. Call it before the server starts."""
    if unknown := set(without) - SHIMS.keys() - {"all"}:
        raise SystemExit(f"no such shim: {', '.join(sorted(unknown))}")
    for name, shim in SHIMS.items():
        if name not in without and "all" not in without:
            shim()
