"""What the gateways add to the services: exact requests, and errors in two kinds."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from moto import mock_aws

from foothold.aws.clients import Clients, aws_call
from foothold.errors import (
    FootholdError,
    PermanentError,
    RegionRefusedError,
    TemporaryError,
)
from foothold.stores.aspects import BucketAspect
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import Use
from tests.stores.worlds import ACCOUNT, HOME, PLANE

SPEC = PLANE.spec("eu-west-1")


@pytest.fixture
def clients() -> Iterator[Clients]:
    with mock_aws():
        yield Clients(boto3.Session(region_name=HOME))


def requests_of(clients: Clients, service: Any, region: str) -> list[tuple[str, dict[str, Any]]]:
    made: list[tuple[str, dict[str, Any]]] = []
    client: Any = clients.get(service, region)
    client.meta.events.register(
        "provide-client-params.*.*",
        lambda params, model, **_: made.append((model.name, dict(params))),
    )
    return made


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "me-south-1"])
def test_every_call_to_s3_names_the_owner_it_expects(clients: Clients, region: str) -> None:
    made = requests_of(clients, "s3", region)
    spec, buckets = PLANE.spec(region), S3Buckets(clients)
    buckets.create(spec)
    for aspect, value in SETTINGS.items():
        buckets.write(spec, aspect, value)
        buckets.read(spec, aspect)
    buckets.is_empty(spec)
    buckets.verify(spec)
    without = {name for name, params in made if params.get("ExpectedBucketOwner") != ACCOUNT}
    assert without == {"CreateBucket"}  # the one call that takes no owner
    assert len(made) > 2 * len(SETTINGS)


SETTINGS: dict[BucketAspect, Any] = {
    BucketAspect.PUBLIC_ACCESS: {"BlockPublicAcls": True},
    BucketAspect.OWNERSHIP: "BucketOwnerEnforced",
    BucketAspect.VERSIONING: "Enabled",
    BucketAspect.ENCRYPTION: {
        "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:k", "BucketKeyEnabled": True,
    },
    BucketAspect.LIFECYCLE: [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""},
                        "Expiration": {"Days": 9}}],
    BucketAspect.TAGS: {"foothold:stack": "foothold"},
    BucketAspect.POLICY: {"Version": "2012-10-17", "Statement": []},
}  # fmt: skip


@pytest.mark.parametrize(
    ("region", "constraint"), [("us-east-1", None), ("eu-west-1", "eu-west-1")]
)
def test_us_east_1_gets_no_location_constraint(
    clients: Clients, region: str, constraint: str | None
) -> None:
    made = requests_of(clients, "s3", region)
    S3Buckets(clients).create(PLANE.spec(region))
    ((_, params),) = made
    assert params["CreateBucketConfiguration"].get("LocationConstraint") == constraint


@pytest.mark.parametrize(
    ("region", "namespace"), [("eu-west-1", "account-regional"), ("me-central-1", None)]
)
def test_a_bucket_is_made_in_the_accounts_namespace_where_the_region_has_one(
    clients: Clients, region: str, namespace: str | None
) -> None:
    made = requests_of(clients, "s3", region)
    S3Buckets(clients).create(PLANE.spec(region))
    assert made[0][1].get("BucketNamespace") == namespace


def test_a_bucket_is_made_without_a_header_that_takes_a_right_on_it(clients: Clients) -> None:
    made = requests_of(clients, "s3", "eu-west-1")
    S3Buckets(clients).create(SPEC)
    assert "ObjectOwnership" not in made[0][1]


def test_what_s3_blocks_by_itself_stays_blocked(clients: Clients) -> None:
    buckets = S3Buckets(clients)
    buckets.create(SPEC)
    s3: Any = clients.get("s3", "eu-west-1")
    blocked = {"EncryptionType": ["SSE-C"]}

    def as_s3_makes_it(**_: Any) -> Any:
        """Moto does not keep it."""
        default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        rules = [{**default, "BlockedEncryptionTypes": blocked}]
        answer = {"ServerSideEncryptionConfiguration": {"Rules": rules}}
        return type("Answer", (), {"status_code": 200, "headers": {}})(), answer

    s3.meta.events.register("before-call.s3.GetBucketEncryption", as_s3_makes_it)
    made = requests_of(clients, "s3", "eu-west-1")
    buckets.write(SPEC, BucketAspect.ENCRYPTION, SETTINGS[BucketAspect.ENCRYPTION])
    _, params = made[-1]
    (rule,) = params["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["BlockedEncryptionTypes"] == blocked
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def test_what_s3_blocks_by_itself_is_no_drift(clients: Clients) -> None:
    buckets = S3Buckets(clients)
    buckets.create(SPEC)
    buckets.write(SPEC, BucketAspect.ENCRYPTION, SETTINGS[BucketAspect.ENCRYPTION])
    s3: Any = clients.get("s3", "eu-west-1")

    def blocking(parsed: dict[str, Any], **_: Any) -> None:
        rule = parsed["ServerSideEncryptionConfiguration"]["Rules"][0]
        rule["BlockedEncryptionTypes"] = {"EncryptionType": ["SSE-C"]}

    s3.meta.events.register("after-call.s3.GetBucketEncryption", blocking)
    assert buckets.read(SPEC, BucketAspect.ENCRYPTION) == SETTINGS[BucketAspect.ENCRYPTION]


def test_the_regions_statuses_come_from_what_every_partition_has(clients: Clients) -> None:
    statuses = AccountRegions(clients).statuses()
    assert statuses["eu-west-1"] == "ENABLED_BY_DEFAULT"
    assert statuses["ap-east-1"] == "DISABLED"  # moto's account has opted in to none
    assert set(statuses.values()) <= {"ENABLED_BY_DEFAULT", "ENABLED", "DISABLED"}


@pytest.mark.parametrize(
    "answer",
    [{"RegionOptStatus": "ENABLING"}, ClientError({"Error": {"Code": "Other"}}, "x"),
     EndpointConnectionError(endpoint_url="https://example.invalid")],
)  # fmt: skip
def test_whether_a_region_is_being_enabled_never_fails_the_run(
    clients: Clients, answer: Any
) -> None:
    account: Any = clients.get("account", HOME)

    def answered(**_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return type("Answer", (), {"status_code": 200, "headers": {}})(), answer

    account.meta.events.register("before-call.account.GetRegionOptStatus", answered)
    told = AccountRegions(clients).opt_in_status("eu-south-1")
    assert told == ("ENABLING" if isinstance(answer, dict) else None)


@pytest.mark.parametrize("region", ["us-gov-west-1", "eusc-de-east-1"])
def test_a_partition_without_the_account_api_is_not_asked_for_it(region: str) -> None:
    clients = Clients(boto3.Session("testing", "testing", region_name=region))
    assert AccountRegions(clients).opt_in_status(region) is None
    assert not any(service == "account" for service, _ in clients._clients)


def test_a_bucket_made_by_a_parallel_run_is_taken_as_made(clients: Clients) -> None:
    buckets = S3Buckets(clients)
    buckets.create(SPEC)
    buckets.create(SPEC)
    buckets.verify(SPEC)


def test_tagging_a_bucket_keeps_the_tags_of_others(clients: Clients) -> None:
    buckets = S3Buckets(clients)
    buckets.create(SPEC)
    s3 = clients.get("s3", "eu-west-1")
    s3.put_bucket_tagging(Bucket=SPEC.bucket, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    buckets.write(SPEC, BucketAspect.TAGS, SPEC.tags)
    assert buckets.read(SPEC, BucketAspect.TAGS) == {"k": "v", **SPEC.tags}


def test_a_key_is_tagged_in_the_call_that_creates_it(clients: Clients) -> None:
    made = requests_of(clients, "kms", "eu-west-1")
    KmsKeys(clients).create(SPEC, {"Version": "2012-10-17", "Statement": []})
    ((name, params),) = made
    tags = {tag["TagKey"]: tag["TagValue"] for tag in params["Tags"]}
    assert (name, tags) == ("CreateKey", SPEC.tags_in(Use.UNUSED))


def test_deleting_parameters_that_are_not_there_is_no_error(clients: Clients) -> None:
    parameters = SsmParameters(clients)
    names = tuple(f"/foothold/{number}" for number in range(23))
    parameters.put(HOME, names[0], "x")
    parameters.delete(HOME, names)
    assert parameters.below(HOME, "/foothold") == {}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, TemporaryError),
        ("SlowDown", 503, TemporaryError),
        ("OperationAborted", 409, TemporaryError),
        ("ConditionalRequestConflict", 409, TemporaryError),
        ("TooManyUpdates", 400, TemporaryError),
        ("ExpiredToken", 400, TemporaryError),
        ("SomethingNew", 500, TemporaryError),
        ("SomethingNew", 429, TemporaryError),
        ("AccessDenied", 403, PermanentError),
        ("LimitExceededException", 400, PermanentError),
        ("KMSInvalidStateException", 400, PermanentError),
        ("UnrecognizedClientException", 403, RegionRefusedError),
        ("InvalidToken", 400, RegionRefusedError),
        ("IllegalLocationConstraintException", 400, RegionRefusedError),
    ],
)
def test_an_aws_error_is_either_temporary_or_permanent(
    code: str, status: int, kind: type[FootholdError]
) -> None:
    answer: Any = {
        "Error": {"Code": code, "Message": "words"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    with pytest.raises(kind, match=r"^cannot do it: "), aws_call("do it"):
        raise ClientError(answer, "Op")


def test_a_connection_that_fails_is_temporary() -> None:
    with pytest.raises(TemporaryError), aws_call("do it"):
        raise EndpointConnectionError(endpoint_url="https://example.invalid")


def test_missing_credentials_say_so() -> None:
    with pytest.raises(PermanentError, match="no AWS credentials"), aws_call("do it"):
        raise NoCredentialsError


def test_sts_and_s3_are_asked_in_the_region_itself() -> None:
    clients = Clients(
        boto3.Session("testing", "testing", region_name=HOME),
    )
    for region in ("us-east-1", "ap-east-1"):
        assert clients.get("sts", region).meta.endpoint_url.startswith(f"https://sts.{region}.")
        assert clients.get("s3", region).meta.endpoint_url.startswith(f"https://s3.{region}.")


TAGS = (("CostCenter", "42"), ("Owner", "platform"))


def parameter_tags(clients: Clients, name: str) -> dict[str, str]:
    found: Any = clients.get("ssm", HOME).list_tags_for_resource(
        ResourceType="Parameter", ResourceId=name
    )
    return {tag["Key"]: tag["Value"] for tag in found["TagList"]}


def test_a_parameter_gets_the_organisations_tags_in_the_call_that_makes_it(
    clients: Clients,
) -> None:
    made = requests_of(clients, "ssm", HOME)
    SsmParameters(clients, tags=TAGS).put(HOME, "/foothold/x", "1")
    assert [name for name, _ in made] == ["PutParameter"]
    assert parameter_tags(clients, "/foothold/x") == dict(TAGS)


def test_a_parameter_that_is_written_over_gets_the_tags_as_they_are_now(clients: Clients) -> None:
    SsmParameters(clients, tags=TAGS).put(HOME, "/foothold/x", "1")
    parameters = SsmParameters(clients, tags=(("CostCenter", "43"),))
    parameters.put(HOME, "/foothold/x", "2")
    assert parameters.get(HOME, ("/foothold/x",)) == {"/foothold/x": "2"}
    assert parameter_tags(clients, "/foothold/x") == {"CostCenter": "43", "Owner": "platform"}


def test_without_tags_a_parameter_is_written_in_one_call(clients: Clients) -> None:
    made = requests_of(clients, "ssm", HOME)
    parameters = SsmParameters(clients)
    for value in ("1", "2"):
        parameters.put(HOME, "/foothold/x", value)
    parameters.tag(HOME, ("/foothold/x",))
    assert [name for name, _ in made] == ["PutParameter", "PutParameter"]


def test_tagging_a_parameter_that_is_gone_is_no_error(clients: Clients) -> None:
    SsmParameters(clients, tags=TAGS).tag(HOME, ("/foothold/gone",))


def test_buckets_and_keys_get_the_organisations_tags_in_the_call_that_makes_them(
    clients: Clients,
) -> None:
    spec = replace(PLANE, tags=TAGS).spec("eu-west-1")
    s3, kms = requests_of(clients, "s3", spec.region), requests_of(clients, "kms", spec.region)
    S3Buckets(clients).create(spec)
    KmsKeys(clients).create(spec, {"Version": "2012-10-17", "Statement": []})
    bucket = {t["Key"]: t["Value"] for t in s3[0][1]["CreateBucketConfiguration"]["Tags"]}
    key = {t["TagKey"]: t["TagValue"] for t in kms[0][1]["Tags"]}
    assert bucket == key == spec.tags_in(Use.UNUSED)
    assert dict(TAGS).items() <= key.items()


def test_what_holds_for_all_rules_of_others_is_given_again_with_the_rules(
    clients: Clients,
) -> None:
    buckets, client = S3Buckets(clients), clients.get("s3", "eu-west-1")
    buckets.create(SPEC)
    rules = SETTINGS[BucketAspect.LIFECYCLE]
    made = requests_of(clients, "s3", SPEC.region)
    stub: Any = client
    stub.meta.events.register(
        "after-call.s3.GetBucketLifecycleConfiguration",
        lambda parsed, **_: parsed.update(
            TransitionDefaultMinimumObjectSize="varies_by_storage_class"
        ),
    )
    buckets.write(SPEC, BucketAspect.LIFECYCLE, rules)
    buckets.write(SPEC, BucketAspect.LIFECYCLE, rules)
    _, params = made[-1]
    assert params["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
