"""The embedded AWS does as AWS does where MiniStack alone does not.

Each shim of local/shims.py has tests of AWS's behaviour, and one that a MiniStack without shims
still lacks it. Where that last one fails, upstream has closed the gap: remove the shim.
"""

import json
import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from local.embedded import FOREIGN, ORGANIZATION, PRODUCTION, TEST, TOOLS, Embedded

pytestmark = pytest.mark.embedded

CLOSED = "upstream has closed this gap: remove the shim"
HERE, ELSEWHERE = "eu-central-1", "eu-west-1"
OWN_ORGANIZATION = "555555555555"


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """MiniStack as upstream ships it."""
    aws = Embedded(tmp_path_factory.mktemp("ministack"), without=["all"])
    aws.start()
    yield aws
    aws.stop()


# --- organization_membership ---------------------------------------------------------------------


def read_as_a_member(aws: Embedded, name: str, account: str) -> str:
    """What a role of this account gets from a bucket that is open to the organisation."""
    make_bucket(
        aws,
        name,
        allow(
            "*", "s3:GetObject", Condition={"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}}
        ),
    )
    return read(make_role(aws, account, name, may("s3:GetObject")), name)


def test_a_bucket_may_admit_the_organisations_accounts(embedded: Embedded) -> None:
    assert read_as_a_member(embedded, "org-test", TEST) == "artifact"
    assert read_as_a_member(embedded, "org-production", PRODUCTION) == "artifact"


def test_an_account_outside_the_organisation_is_not_admitted(embedded: Embedded) -> None:
    assert read_as_a_member(embedded, "org-foreign", FOREIGN) == "AccessDenied"


def test_upstream_knows_no_member_accounts(ministack: Embedded) -> None:
    assert read_as_a_member(ministack, "org-test", TEST) == "AccessDenied", CLOSED


def own_organization(aws: Embedded) -> str:
    """What a role of an account with an organisation of its own gets from a bucket that is open
    to that."""
    organization = aws.session(OWN_ORGANIZATION).client("organizations").describe_organization()
    condition = {"StringEquals": {"aws:PrincipalOrgID": organization["Organization"]["Id"]}}
    make_bucket(aws, "org-own", allow("*", "s3:GetObject", Condition=condition))
    return read(make_role(aws, OWN_ORGANIZATION, "org-own", may("s3:GetObject")), "org-own")


def test_an_account_may_have_an_organisation_of_its_own(embedded: Embedded) -> None:
    assert own_organization(embedded) == "artifact"
    assert read_as_a_member(embedded, "org-another", OWN_ORGANIZATION) == "AccessDenied"


# --- role_principals -----------------------------------------------------------------------------


def read_as_the_named_role(aws: Embedded, name: str, role: str) -> str:
    """What a role gets from a foreign bucket whose policy names the role `reader`."""
    make_bucket(aws, name, allow(f"arn:aws:iam::{TEST}:role/reader", "s3:GetObject"))
    return read(make_role(aws, TEST, role, may("s3:GetObject")), name)


def read_as_a_role_like(aws: Embedded, name: str, role: str, path: str = "/") -> str:
    """What a role gets from a foreign bucket that admits role/ci/deploy* of that account."""
    like = {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/ci/deploy*"}}
    make_bucket(aws, name, allow(f"arn:aws:iam::{TEST}:root", "s3:GetObject", Condition=like))
    return read(make_role(aws, TEST, role, may("s3:GetObject"), path=path), name)


def test_a_bucket_policy_may_name_a_role_of_another_account(embedded: Embedded) -> None:
    assert read_as_the_named_role(embedded, "named", "reader") == "artifact"
    assert read_as_the_named_role(embedded, "not-named", "other") == "AccessDenied"


def test_upstream_never_meets_a_role_that_a_foreign_bucket_names(ministack: Embedded) -> None:
    assert read_as_the_named_role(ministack, "named", "reader") == "AccessDenied", CLOSED


def test_the_principal_of_a_session_is_its_role_with_its_path(embedded: Embedded) -> None:
    assert read_as_a_role_like(embedded, "like", "deploy-app", "/ci/") == "artifact"
    assert read_as_a_role_like(embedded, "not-like", "deploy-other") == "AccessDenied"


def test_upstream_takes_the_session_for_the_principal(ministack: Embedded) -> None:
    assert read_as_a_role_like(ministack, "like", "deploy-app", "/ci/") == "AccessDenied", CLOSED


def test_a_role_needs_its_own_permission_beside_the_buckets(embedded: Embedded) -> None:
    make_bucket(embedded, "both", allow(f"arn:aws:iam::{TEST}:root", "s3:GetObject"))
    assert (
        read(make_role(embedded, TEST, "without", may("s3:ListBucket")), "both") == "AccessDenied"
    )


# --- resource_account ----------------------------------------------------------------------------


def read_what_must_be_ours(aws: Embedded, name: str) -> str:
    """What a Tools role that may read its own account's buckets only gets from a foreign one."""
    make_bucket(aws, name, allow(f"arn:aws:iam::{TOOLS}:root", "s3:GetObject"), account=FOREIGN)
    ours = {"StringEquals": {"aws:ResourceAccount": TOOLS}}
    return read(make_role(aws, TOOLS, name, may("s3:GetObject", Condition=ours)), name)


def test_a_role_may_be_kept_off_foreign_buckets(embedded: Embedded) -> None:
    assert read_what_must_be_ours(embedded, "squatted") == "AccessDenied"


def test_upstream_takes_the_callers_account_for_the_buckets(ministack: Embedded) -> None:
    assert read_what_must_be_ours(ministack, "squatted") == "artifact", CLOSED


# --- authorized_resources ------------------------------------------------------------------------


def get_parameters(aws: Embedded, role: str, names: list[str]) -> str:
    """What stops a role that may get parameters below /ours only; nothing where it may."""
    below = f"arn:aws:ssm:{HERE}:{TOOLS}:parameter/ours/*"
    session = make_role(aws, TOOLS, role, {**may("ssm:GetParameters"), "Resource": below})
    return outcome(lambda: session.client("ssm").get_parameters(Names=names))


def describe_by_alias(aws: Embedded, name: str, *, of_the_key: bool) -> str:
    """What stops a role that may describe a key, or its alias only, from describing the alias."""
    kms = aws.session().client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    alias = f"alias/{name}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    resource = key if of_the_key else f"arn:aws:kms:{HERE}:{TOOLS}:{alias}"
    session = make_role(aws, TOOLS, name, {**may("kms:DescribeKey"), "Resource": resource})
    return outcome(lambda: session.client("kms").describe_key(KeyId=alias))


def test_each_parameter_asked_for_must_be_allowed(embedded: Embedded) -> None:
    assert get_parameters(embedded, "ours", ["/ours/a", "/ours/b"]) == ""
    refused = get_parameters(embedded, "not-ours", ["/ours/a", "/theirs/b"])
    assert refused == "AccessDeniedException"


def test_a_call_that_names_an_alias_is_about_its_key(embedded: Embedded) -> None:
    assert describe_by_alias(embedded, "by-key", of_the_key=True) == ""
    assert describe_by_alias(embedded, "by-alias", of_the_key=False) == "AccessDeniedException"


def test_an_alias_is_made_by_whom_may_use_both_it_and_its_key(embedded: Embedded) -> None:
    key = embedded.session().client("kms").create_key()["KeyMetadata"]["Arn"]
    alias = f"arn:aws:kms:{HERE}:{TOOLS}:alias/both"
    for name, resources, expected in (
        ("alias-only", [alias], "AccessDeniedException"),
        ("key-only", [key], "AccessDeniedException"),
        ("alias-and-key", [alias, key], ""),
    ):
        statement = {**may("kms:CreateAlias"), "Resource": resources}
        kms = make_role(embedded, TOOLS, name, statement).client("kms")
        made = outcome(lambda kms=kms: kms.create_alias(AliasName="alias/both", TargetKeyId=key))
        assert made == expected


@pytest.mark.parametrize(
    "body", [b"{", b'{"StartAt": "${First}", ${More}}', b"{{#if}}", b"[", b"{}"]
)
def test_an_object_may_begin_like_json_and_be_none(embedded: Embedded, body: bytes) -> None:
    name = f"braces-{body.hex()[:12]}"
    make_bucket(embedded, name, body=body)
    s3: Any = make_role(embedded, TOOLS, name, may("s3:*")).client("s3")
    upload = {"Bucket": name, "Key": "parts"}
    begun = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part(**upload, UploadId=begun, PartNumber=1, Body=body)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**upload, UploadId=begun, MultipartUpload=parts)
    for key in ("key", "parts"):
        assert s3.get_object(Bucket=name, Key=key)["Body"].read() == body


def test_upstream_asks_about_no_resource_in_particular(ministack: Embedded) -> None:
    assert get_parameters(ministack, "ours", ["/ours/a", "/ours/b"]), CLOSED
    assert describe_by_alias(ministack, "by-key", of_the_key=True), CLOSED


# --- foreign_keys --------------------------------------------------------------------------------


def describe_a_foreign_key(
    aws: Embedded, name: str, action: str = "kms:DescribeKey", *, named: bool = True
) -> str:
    """What stops a Test role that may do this from describing a key of the Tools account, whose
    policy names the role's account, or not."""
    reader = allow(f"arn:aws:iam::{TEST if named else PRODUCTION}:root", "kms:DescribeKey")
    key = make_encrypted_bucket(aws, name, {**reader, "Resource": "*"})
    kms = make_role(aws, TEST, name, may(action)).client("kms")
    return outcome(lambda: kms.describe_key(KeyId=key))


def test_a_key_serves_the_accounts_that_its_policy_names(embedded: Embedded) -> None:
    assert describe_a_foreign_key(embedded, "foreign-key") == ""


def test_a_foreign_key_is_refused_where_its_policy_or_the_callers_forgets_it(
    embedded: Embedded,
) -> None:
    refused = [
        describe_a_foreign_key(embedded, "foreign-key-not-named", named=False),
        describe_a_foreign_key(embedded, "foreign-key-not-allowed", "kms:Encrypt"),
    ]
    assert refused == ["AccessDeniedException", "AccessDeniedException"]


def test_the_root_of_another_account_finds_no_foreign_key(embedded: Embedded) -> None:
    key = make_encrypted_bucket(embedded, "foreign-key-root")
    kms = embedded.session(TEST).client("kms")
    assert outcome(lambda: kms.describe_key(KeyId=key)) == "NotFoundException"


def test_upstream_finds_no_foreign_key(ministack: Embedded) -> None:
    assert describe_a_foreign_key(ministack, "foreign-key") == "NotFoundException", CLOSED


# --- account_actions -----------------------------------------------------------------------------


def list_regions(aws: Embedded, role: str, action: str, account: str = TOOLS) -> str:
    """What stops a Tools role that may do this to that account from listing its own regions."""
    resource = f"arn:aws:account::{account}:account"
    session = make_role(aws, TOOLS, role, {**may(action), "Resource": resource})
    return outcome(lambda: session.client("account").list_regions())


def test_listing_regions_takes_a_permission_on_the_account(embedded: Embedded) -> None:
    assert list_regions(embedded, "lists", "account:ListRegions") == ""
    refused = [
        list_regions(embedded, "asks", "account:GetRegionOptStatus"),
        list_regions(embedded, "lists-others", "account:ListRegions", TEST),
    ]
    assert refused == ["AccessDeniedException", "AccessDeniedException"]


def test_upstream_lets_every_role_list_regions(ministack: Embedded) -> None:
    assert list_regions(ministack, "asks", "account:GetRegionOptStatus") == "", CLOSED


# --- write_conditions ----------------------------------------------------------------------------


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


# --- foreign_code --------------------------------------------------------------------------------


def deploy_from(
    aws: Embedded,
    name: str,
    *,
    bucket_region: str = HERE,
    reader: str = f"arn:aws:iam::{TEST}:root",
) -> str:
    """What a function of the Test account answers, its code being in a Tools bucket.

    A stack makes the function, as a role. Returns the stack's reason where there is no function.
    """
    make_bucket(aws, name, allow(reader, "s3:GetObject"), region=bucket_region, body=package())
    deployer = make_role(aws, TEST, name, may("*"))
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": name,
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": make_role_arn(aws, TEST, f"{name}-runs", may("s3:GetObject")),
            "Code": {"S3Bucket": name, "S3Key": "key"},
        },
    }
    cloudformation = deployer.client("cloudformation")
    template = json.dumps({"Resources": {"Function": function}})
    cloudformation.create_stack(StackName=name, TemplateBody=template, OnFailure="DO_NOTHING")
    if (status := wait_for_stack(cloudformation, name)) != "CREATE_COMPLETE":
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [event.get("ResourceStatusReason", "") for event in events]
        return f"{status}: {' '.join(reasons)}"
    answer = deployer.client("lambda").invoke(FunctionName=name)["Payload"].read().decode()
    return str(answer)


def test_a_function_is_deployed_from_another_accounts_bucket(embedded: Embedded) -> None:
    assert deploy_from(embedded, "code") == '"ran"'


def test_a_function_whose_code_may_not_be_read_is_not_made(embedded: Embedded) -> None:
    other = f"arn:aws:iam::{PRODUCTION}:root"
    assert "denied by S3" in deploy_from(embedded, "code-denied", reader=other)


def test_a_function_is_not_deployed_from_another_regions_bucket(embedded: Embedded) -> None:
    refused = deploy_from(embedded, "code-elsewhere", bucket_region=ELSEWHERE)
    assert "PermanentRedirect" in refused


def test_a_template_is_read_from_another_accounts_bucket(embedded: Embedded) -> None:
    body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}).encode()
    make_bucket(embedded, "template", allow(f"arn:aws:iam::{TEST}:root", "s3:*"), body=body)
    cloudformation = make_role(embedded, TEST, "template", may("*")).client("cloudformation")
    url = f"https://s3.{HERE}.amazonaws.com/template/key"
    summary = cloudformation.get_template_summary(TemplateURL=url)
    assert summary["ResourceTypes"] == ["AWS::SQS::Queue"]


def test_upstream_mocks_a_function_from_another_accounts_bucket(ministack: Embedded) -> None:
    assert "Mock response" in deploy_from(ministack, "code"), CLOSED


# --- loopback_tls --------------------------------------------------------------------------------


def read_where_tls_is_required(aws: Embedded, name: str, *, plain: bool = False) -> str:
    make_bucket(
        aws,
        name,
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": f"arn:aws:s3:::{name}/*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    )
    session = make_role(aws, TOOLS, name, may("s3:GetObject"))
    return read(session, name, headers={"x-forwarded-proto": "http"} if plain else {})


def test_a_request_counts_as_sent_over_tls(embedded: Embedded) -> None:
    assert read_where_tls_is_required(embedded, "tls") == "artifact"


def test_a_request_that_says_it_is_plain_http_is_taken_for_that(embedded: Embedded) -> None:
    assert read_where_tls_is_required(embedded, "tls-plain", plain=True) == "AccessDenied"


def test_upstream_takes_every_request_for_plain_http(ministack: Embedded) -> None:
    assert read_where_tls_is_required(ministack, "tls") == "AccessDenied", CLOSED


# --- tls_versions --------------------------------------------------------------------------------


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


# --- expected_bucket_owner -----------------------------------------------------------------------


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


# --- object_encryption ---------------------------------------------------------------------------

VIA_S3 = {"StringEquals": {"kms:ViaService": f"s3.{HERE}.amazonaws.com"}}


def make_encrypted_bucket(aws: Embedded, name: str, *key_statements: dict[str, Any]) -> str:
    """A bucket whose objects stand under a key of the Tools account; returns the key's ARN."""
    kms = aws.session().client("kms")
    owner = {**allow(f"arn:aws:iam::{TOOLS}:root", "kms:*"), "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [owner, *key_statements]}
    key = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    make_bucket(aws, name, allow(f"arn:aws:iam::{TEST}:root", "s3:GetObject"), key=key)
    return str(key)


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


def test_listing_the_regions_takes_a_permission_and_tells_which_are_opted_in(
    embedded: Embedded,
) -> None:
    """Nothing is missing upstream; Foothold asks for nothing else in every run."""
    lists = make_role(embedded, TOOLS, "lists-regions", may("ec2:DescribeRegions")).client("ec2")
    found = {r["RegionName"]: r["OptInStatus"] for r in lists.describe_regions()["Regions"]}
    assert found["eu-central-1"] == "opt-in-not-required"
    assert found["ap-east-1"] == "opted-in"
    other = make_role(embedded, TOOLS, "lists-none", may("s3:PutObject")).client("ec2")
    assert outcome(other.describe_regions) == "UnauthorizedOperation"


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


# --- bare_runtime --------------------------------------------------------------------------------


def import_the_emulators_package(aws: Embedded) -> bool:
    """Whether a function without layers finds the web server that MiniStack runs on."""
    code = "import importlib.util as i\ndef handler(e, c): return bool(i.find_spec('hypercorn'))"
    lambda_ = aws.session().client("lambda")
    lambda_.create_function(
        FunctionName="bare",
        Runtime="python3.13",
        Handler="index.handler",
        Role=make_role_arn(aws, TOOLS, "bare", may("s3:GetObject")),
        Code={"ZipFile": package(code)},
    )
    return bool(json.loads(lambda_.invoke(FunctionName="bare")["Payload"].read()))


def test_a_function_finds_only_its_own_packages(embedded: Embedded) -> None:
    assert import_the_emulators_package(embedded) is False


def test_upstream_lends_functions_its_own_packages(ministack: Embedded) -> None:
    assert import_the_emulators_package(ministack) is True, CLOSED


# --- the world these tests need ------------------------------------------------------------------


def allow(principal: str, action: str, **more: Any) -> dict[str, Any]:
    """A resource policy's statement; `make_bucket` adds the resource."""
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, **more}


def may(*actions: str, **more: Any) -> dict[str, Any]:
    """A role's statement, on every resource."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


def make_bucket(
    aws: Embedded,
    name: str,
    *statements: dict[str, Any],
    account: str = TOOLS,
    region: str = HERE,
    body: bytes = b"artifact",
    key: str | None = None,
) -> None:
    """A bucket with one object, `key`, under this policy and this KMS key."""
    s3: Any = aws.session(account, region).client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    if key:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = [{"ApplyServerSideEncryptionByDefault": default}]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if statements:
        on_objects = [{"Resource": f"arn:aws:s3:::{name}/*", **each} for each in statements]
        policy = {"Version": "2012-10-17", "Statement": on_objects}
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    s3.put_object(Bucket=name, Key="key", Body=body)


def make_role_arn(
    aws: Embedded, account: str, name: str, *statements: dict[str, Any], path: str = "/"
) -> str:
    iam = aws.session(account).client("iam")
    trust = allow(f"arn:aws:iam::{account}:root", "sts:AssumeRole")
    role = iam.create_role(
        RoleName=name,
        Path=path,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
    return str(role["Arn"])


def make_role(
    aws: Embedded, account: str, name: str, *statements: dict[str, Any], path: str = "/"
) -> boto3.Session:
    """A session of a new role that may do this."""
    return aws.role_session(make_role_arn(aws, account, name, *statements, path=path))


def read(session: boto3.Session, bucket: str, headers: Mapping[str, str] | None = None) -> str:
    """The bucket's object, or the code of the error that was met instead."""
    s3 = session.client("s3", region_name=HERE)

    def add_headers(request: AWSRequest, **_: object) -> None:
        for name, value in (headers or {}).items():
            request.headers[name] = value

    s3.meta.events.register("before-sign.s3.GetObject", add_headers)
    try:
        return s3.get_object(Bucket=bucket, Key="key")["Body"].read().decode()
    except ClientError as error:
        return error.response["Error"]["Code"]


def outcome(call: Any) -> str:
    """The error code this call meets; nothing where it meets none."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def package(code: str = "def handler(event, context): return 'ran'") -> bytes:
    archive = BytesIO()
    with ZipFile(archive, "w") as package:
        package.writestr("index.py", code)
    return archive.getvalue()


def wait_for_stack(cloudformation: Any, name: str) -> str:
    while True:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return str(stack["StackStatus"])
        time.sleep(0.05)
