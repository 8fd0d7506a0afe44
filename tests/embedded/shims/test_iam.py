"""Policies decide on what they decide on at AWS: callers, resources, conditions."""

from typing import Any

import pytest

from local.aws.embedded import FOREIGN, ORGANIZATION, PRODUCTION, TEST, TOOLS, Embedded
from tests.embedded.shims.world import (
    CLOSED,
    HERE,
    allow,
    make_bucket,
    make_role,
    make_role_arn,
    may,
    outcome,
    read,
)

OWN_ORGANIZATION = "555555555555"


# --- organization_membership ----------------------------------------------------------------------


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


def organization_of(aws: Embedded, account: str) -> str:
    answer = aws.session(account).client("organizations").describe_organization()
    return str(answer["Organization"]["Id"])


def test_a_member_is_told_its_organisation(embedded: Embedded) -> None:
    assert organization_of(embedded, PRODUCTION) == ORGANIZATION


def test_upstream_tells_a_member_of_an_organisation_of_its_own(ministack: Embedded) -> None:
    assert organization_of(ministack, PRODUCTION) != ORGANIZATION, CLOSED


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


# --- role_principals ------------------------------------------------------------------------------


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


def be_trusted_by_path(aws: Embedded, name: str, path: str) -> str:
    """What stops a Tools role from being a role that trusts those below /ci/ of that account."""
    like = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{TOOLS}:role/ci/*"}}
    root = f"arn:aws:iam::{TOOLS}:root"
    theirs = make_role_arn(aws, TEST, name, trusted=root, Condition=like)
    sts = make_role(aws, TOOLS, name, may("sts:AssumeRole"), path=path).client("sts")
    return outcome(lambda: sts.assume_role(RoleArn=theirs, RoleSessionName="caller"))


def test_a_role_may_be_trusted_by_its_path(embedded: Embedded) -> None:
    assert be_trusted_by_path(embedded, "in-the-path", "/ci/") == ""
    assert be_trusted_by_path(embedded, "beside-the-path", "/") == "AccessDenied"


def test_upstream_takes_the_session_for_the_principal(ministack: Embedded) -> None:
    assert read_as_a_role_like(ministack, "like", "deploy-app", "/ci/") == "AccessDenied", CLOSED


def test_a_role_needs_its_own_permission_beside_the_buckets(embedded: Embedded) -> None:
    make_bucket(embedded, "both", allow(f"arn:aws:iam::{TEST}:root", "s3:GetObject"))
    assert (
        read(make_role(embedded, TEST, "without", may("s3:ListBucket")), "both") == "AccessDenied"
    )


# --- resource_account -----------------------------------------------------------------------------


def read_what_must_be_ours(aws: Embedded, name: str) -> str:
    """What a Tools role that may read its own account's buckets only gets from a foreign one."""
    make_bucket(aws, name, allow(f"arn:aws:iam::{TOOLS}:root", "s3:GetObject"), account=FOREIGN)
    ours = {"StringEquals": {"aws:ResourceAccount": TOOLS}}
    return read(make_role(aws, TOOLS, name, may("s3:GetObject", Condition=ours)), name)


def test_a_role_may_be_kept_off_foreign_buckets(embedded: Embedded) -> None:
    assert read_what_must_be_ours(embedded, "squatted") == "AccessDenied"


def test_upstream_takes_the_callers_account_for_the_buckets(ministack: Embedded) -> None:
    assert read_what_must_be_ours(ministack, "squatted") == "artifact", CLOSED


def assume_in_an_organization(aws: Embedded, name: str, account: str) -> str:
    """What stops a Tools role that may be roles of the organisation's accounts only from being
    this account's."""
    theirs = make_role_arn(aws, account, name, trusted=f"arn:aws:iam::{TOOLS}:root")
    condition = {"StringEquals": {"aws:ResourceOrgID": ORGANIZATION}}
    session = make_role(aws, TOOLS, name, may("sts:AssumeRole", Condition=condition))
    sts = session.client("sts")
    return outcome(lambda: sts.assume_role(RoleArn=theirs, RoleSessionName="caller"))


def test_a_role_may_be_kept_off_accounts_outside_of_the_organisation(embedded: Embedded) -> None:
    assert assume_in_an_organization(embedded, "reader-in", TEST) == ""
    assert assume_in_an_organization(embedded, "reader-out", FOREIGN) == "AccessDenied"


def test_upstream_knows_no_organisation_of_a_resource(ministack: Embedded) -> None:
    assert assume_in_an_organization(ministack, "reader-in", TEST) == "AccessDenied", CLOSED


# --- authorized_resources -------------------------------------------------------------------------


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


# --- account_actions ------------------------------------------------------------------------------


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


# --- loopback_tls ---------------------------------------------------------------------------------


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


# --- no shim --------------------------------------------------------------------------------------


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
