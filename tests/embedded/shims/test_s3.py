"""A bucket's policy sees what it sees at AWS, and an object is under its key's protection."""

from typing import Any

from local.aws.embedded import FOREIGN, PRODUCTION, TEST, TOOLS, Embedded
from tests.embedded.shims.world import (
    CLOSED,
    HERE,
    allow,
    make_bucket,
    make_encrypted_bucket,
    make_role,
    may,
    outcome,
    read,
)

# --- write_conditions -----------------------------------------------------------------------------


def write_where_one_key_is_required(aws: Embedded, name: str, **encryption: str) -> str:
    """What stops a role from writing so to a bucket that refuses other keys and customers' keys."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject"}
    named = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    own = "s3:x-amz-server-side-encryption-customer-algorithm"
    other = {"Null": {named: "false"}, "StringNotEquals": {named: RIGHT_KEY}}
    make_bucket(
        aws, name, {**deny, "Condition": other}, {**deny, "Condition": {"Null": {own: "false"}}}
    )
    s3: Any = make_role(aws, TOOLS, name, may("s3:PutObject", "kms:*")).client("s3")
    return outcome(lambda: s3.put_object(Bucket=name, Key="new", **encryption))


RIGHT_KEY, WRONG_KEY = (f"arn:aws:kms:{HERE}:{TOOLS}:key/{name}" for name in ("right", "wrong"))
UNDER_THE_WRONG_KEY = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": WRONG_KEY}
UNDER_ITS_OWN_KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}


def test_a_bucket_may_refuse_writes_under_another_key(embedded: Embedded) -> None:
    assert write_where_one_key_is_required(embedded, "no-header") == ""
    wrong = write_where_one_key_is_required(embedded, "wrong-key", **UNDER_THE_WRONG_KEY)
    assert wrong == "AccessDenied"


def test_a_bucket_may_refuse_writes_under_the_writers_own_key(embedded: Embedded) -> None:
    own = write_where_one_key_is_required(embedded, "own-key", **UNDER_ITS_OWN_KEY)
    assert own == "AccessDenied"


def test_upstream_shows_a_bucket_policy_no_key(ministack: Embedded) -> None:
    assert write_where_one_key_is_required(ministack, "wrong", **UNDER_THE_WRONG_KEY) == "", CLOSED
    assert write_where_one_key_is_required(ministack, "own", **UNDER_ITS_OWN_KEY) == "", CLOSED


def write_in_parts(aws: Embedded, name: str) -> str:
    """What stops a role from writing in parts to a bucket that refuses unnamed keys."""
    key = aws.session().client("kms").create_key()["KeyMetadata"]["Arn"]
    named = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    unnamed = {
        "StringEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
        "Null": {named: "true"},
    }
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Condition": unnamed}
    make_bucket(aws, name, deny)
    s3: Any = make_role(aws, TOOLS, name, may("s3:PutObject", "kms:*")).client("s3")
    upload = {"Bucket": name, "Key": "new"}

    def write() -> None:
        begun = s3.create_multipart_upload(
            **upload, ServerSideEncryption="aws:kms", SSEKMSKeyId=key
        )
        s3.upload_part(**upload, UploadId=begun["UploadId"], PartNumber=1, Body=b"x")

    return outcome(write)


def test_a_part_is_written_under_the_key_of_its_upload(embedded: Embedded) -> None:
    assert write_in_parts(embedded, "parts") == ""


def test_upstream_shows_a_bucket_policy_no_key_of_a_part(ministack: Embedded) -> None:
    assert write_in_parts(ministack, "parts") == "AccessDenied", CLOSED


# --- tls_versions ---------------------------------------------------------------------------------


def read_over(aws: Embedded, name: str, **headers: str) -> str:
    """What a role gets so from a bucket that refuses TLS before 1.2, and TLS that is not known."""
    old = {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
    unknown = {"Null": {"s3:TlsVersion": "true"}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*"}
    make_bucket(aws, name, {**deny, "Condition": old}, {**deny, "Condition": unknown})
    sent = {header.replace("_", "-"): value for header, value in headers.items()}
    return read(make_role(aws, TOOLS, name, may("s3:GetObject")), name, headers=sent)


def test_a_bucket_may_refuse_old_tls(embedded: Embedded) -> None:
    assert read_over(embedded, "tls-unsaid") == "artifact"
    assert read_over(embedded, "tls-new", x_amzn_tls_version="1.2") == "artifact"
    assert read_over(embedded, "tls-old", x_amzn_tls_version="1.1") == "AccessDenied"


def test_a_plain_request_has_no_version_of_tls(embedded: Embedded) -> None:
    assert read_over(embedded, "tls-none", x_forwarded_proto="http") == "AccessDenied"


def test_upstream_knows_no_version_of_tls(ministack: Embedded) -> None:
    assert read_over(ministack, "tls-unsaid") == "AccessDenied", CLOSED


# --- expected_bucket_owner ------------------------------------------------------------------------


def read_expecting(aws: Embedded, name: str, owner: str) -> str:
    make_bucket(aws, name)
    return outcome(
        lambda: aws.session().client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=owner)
    )


def test_a_request_that_expects_another_owner_is_refused(embedded: Embedded) -> None:
    assert read_expecting(embedded, "owner-foreign", FOREIGN) == "403"
    assert read_expecting(embedded, "owner-own", TOOLS) == ""


def test_a_copy_that_expects_another_owner_of_its_source_is_refused(embedded: Embedded) -> None:
    make_bucket(embedded, "copy")
    s3 = embedded.session().client("s3")

    def copy(owner: str) -> object:
        return s3.copy_object(
            Bucket="copy",
            Key="copied",
            CopySource={"Bucket": "copy", "Key": "key"},
            ExpectedBucketOwner=TOOLS,
            ExpectedSourceBucketOwner=owner,
        )

    assert outcome(lambda: copy(TOOLS)) == ""
    assert outcome(lambda: copy(FOREIGN)) == "AccessDenied"


def test_upstream_ignores_the_expected_owner(ministack: Embedded) -> None:
    assert read_expecting(ministack, "owner-foreign", FOREIGN) == "", CLOSED


# --- object_encryption ----------------------------------------------------------------------------

VIA_S3 = {"StringEquals": {"kms:ViaService": f"s3.{HERE}.amazonaws.com"}}


def read_under_a_key(aws: Embedded, name: str, *, named: bool, allowed: bool) -> str:
    """What a Test role gets, being `named` by the key's policy and `allowed` by its own, or not."""
    account = TEST if named else PRODUCTION
    reader = {
        **allow(f"arn:aws:iam::{account}:root", "kms:Decrypt", Condition=VIA_S3),
        "Resource": "*",
    }
    make_encrypted_bucket(aws, name, reader)
    actions = ("s3:GetObject", "kms:Decrypt") if allowed else ("s3:GetObject",)
    return read(make_role(aws, TEST, name, may(*actions)), name)


def read_after(aws: Embedded, name: str, change: str, **arguments: Any) -> str:
    """What the owner itself gets once its key was changed so."""
    key = make_encrypted_bucket(aws, name)
    getattr(aws.session().client("kms"), change)(KeyId=key, **arguments)
    return read(aws.session(), name)


def test_reading_an_object_takes_its_key_as_well(embedded: Embedded) -> None:
    assert read_under_a_key(embedded, "key-yes", named=True, allowed=True) == "artifact"


def test_a_policy_sees_the_bucket_that_a_key_is_used_for(embedded: Embedded) -> None:
    make_encrypted_bucket(embedded, "key-context")
    for bucket, expected in (("key-context", ""), ("another", "AccessDenied")):
        context = {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}*"}
        use = {**may("kms:GenerateDataKey"), "Condition": {"StringLike": context}}
        role = make_role(embedded, TOOLS, f"uses-{bucket}", may("s3:PutObject"), use)
        s3 = role.client("s3")
        assert outcome(lambda s3=s3: s3.put_object(Bucket="key-context", Key="k")) == expected


def test_an_object_is_refused_where_the_keys_policy_forgets_the_reader(embedded: Embedded) -> None:
    assert read_under_a_key(embedded, "key-no", named=False, allowed=True) == "AccessDenied"


def test_an_object_is_refused_where_the_readers_policy_forgets_the_key(embedded: Embedded) -> None:
    assert read_under_a_key(embedded, "key-not", named=True, allowed=False) == "AccessDenied"


def test_writing_an_object_takes_its_key_as_well(embedded: Embedded) -> None:
    make_encrypted_bucket(embedded, "key-write")
    for name, extra, expected in (
        ("with", ["kms:GenerateDataKey"], ""),
        ("no", [], "AccessDenied"),
    ):
        role = make_role(embedded, TOOLS, f"key-{name}", may("s3:PutObject", *extra))
        s3 = role.client("s3")
        assert outcome(lambda s3=s3: s3.put_object(Bucket="key-write", Key="k")) == expected


def test_a_disabled_key_serves_nobody(embedded: Embedded) -> None:
    disabled = read_after(embedded, "key-disabled", "disable_key")
    assert disabled == "KMS.DisabledException"


def test_a_key_pending_deletion_serves_nobody(embedded: Embedded) -> None:
    pending = read_after(embedded, "key-pending", "schedule_key_deletion", PendingWindowInDays=7)
    assert pending == "KMS.KMSInvalidStateException"


def test_upstream_never_asks_the_key(ministack: Embedded) -> None:
    assert read_under_a_key(ministack, "key-no", named=False, allowed=True) == "artifact", CLOSED
    assert read_after(ministack, "key-disabled", "disable_key") == "artifact", CLOSED
