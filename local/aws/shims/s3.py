"""What a bucket's policy sees of a request, and what an object's key has to say."""

# ruff: noqa: SLF001 - what MiniStack does not do, it offers no hook for

from typing import Any

from ministack.core import iam_actions
from ministack.core import iam_evaluator as iam
from ministack.core.router import extract_access_key_id
from ministack.services import kms, s3

KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"

Answer = tuple[int, dict[str, str], bytes]


def owner_of(bucket: str) -> str | None:
    """The account that owns the bucket. Upstream's own look-up walks a dictionary that other
    threads may change meanwhile."""
    for account, name in list(s3._buckets._data):
        if name == bucket:
            return str(account)
    return None


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
