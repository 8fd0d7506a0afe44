"""AWS clients, made once per service and region, and the one table of AWS error codes."""

import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
)
from botocore.parsers import ResponseParserError

from foothold.aws.patience import TAGS_ARE_NEW
from foothold.errors import (
    FootholdError,
    PermanentError,
    RegionRefusedError,
    TemporaryError,
)

if TYPE_CHECKING:
    from mypy_boto3_account import AccountClient
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_codebuild import CodeBuildClient
    from mypy_boto3_codepipeline import CodePipelineClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_resourcegroupstaggingapi import ResourceGroupsTaggingAPIClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient
    from mypy_boto3_sts.type_defs import GetCallerIdentityResponseTypeDef

CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 5},
    # One endpoint a region, also for us-east-1. STS has been regional in every SDK default
    # since botocore 1.40: opt-in regions refuse the global endpoint's v1 tokens (IAM User
    # Guide, "Managing AWS STS in an AWS Region").
    s3={"us_east_1_regional_endpoint": "regional"},
)

# Codes that a later attempt may not meet again. OperationAborted: another change to the same
# bucket is under way (Amazon S3 API Reference, "Error responses"). TooManyUpdates: another
# PutParameter on the same name. KMSInvalidStateException is not here: a key's state only
# changes when somebody changes it; nor LimitExceededException, which is KMS's quota of keys.
TEMPORARY_CODES = frozenset(
    {
        "ConcurrentModificationException",
        "ConditionalRequestConflict",
        "DependencyTimeoutException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KMSInternalException",
        "OperationAborted",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceFailure",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TooManyUpdates",
        "TransactionInProgressException",
    }
)
TEMPORARY_STATUS = frozenset({429, *range(500, 600)})
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
# What an API answers while the account has not enabled the region, or not yet everywhere.
REGION_REFUSED_CODES = frozenset(
    {
        "AuthFailure",
        "IllegalLocationConstraintException",
        "InvalidClientTokenId",
        "InvalidToken",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)


def open_session() -> boto3.Session:
    """A session in the region that the aws command would choose: AWS_REGION before
    AWS_DEFAULT_REGION before the profile's (AWS CLI User Guide, "Configuring environment
    variables"). boto3 itself does not read AWS_REGION."""
    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)


class Ec2Client(Protocol):
    """The one call of EC2's client that is made."""

    def describe_regions(self, *, AllRegions: bool) -> Mapping[str, Any]: ...  # noqa: N803  AWS's name


class Clients:
    """boto3 clients of one session: one per service and region, made when first asked for.

    Making a client takes longer than most calls, so they are kept; boto3 sessions are not safe
    to share between threads while clients are made, so making one is serialised. Once made, a
    client may be used by any thread (boto3 guide, "Multithreading or multiprocessing").
    """

    def __init__(self, session: boto3.Session, config: Config = CONFIG) -> None:
        self.session = session
        self._config = config
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._identity: GetCallerIdentityResponseTypeDef | None = None

    def account(self) -> str:
        """The caller's own account."""
        return self._who()["Account"]

    def caller(self) -> str:
        """The caller's ARN."""
        return self._who()["Arn"]

    def _who(self) -> "GetCallerIdentityResponseTypeDef":
        """Who calls, asked for once (AWS STS API Reference, "GetCallerIdentity": it needs no
        permission)."""
        if not self._identity:
            with aws_call("ask whose credentials these are"):
                self._identity = self.get("sts", self.home_region).get_caller_identity()
        return self._identity

    @property
    def home_region(self) -> str:
        """The session's own region. Raises PermanentError where none is configured."""
        if not self.session.region_name:
            raise PermanentError("no region is set: export AWS_REGION, or choose a profile")
        return self.session.region_name

    def regions_of(
        self, service: str, partition: str, *, or_global: bool = False
    ) -> Collection[str]:
        """The regions of a partition that the SDK's own list of endpoints has a service in;
        `or_global`: also a name that stands for all of them."""
        with self._lock:
            return self.session.get_available_regions(
                service, partition, allow_non_regional=or_global
            )

    @overload
    def get(self, service: Literal["account"], region: str) -> "AccountClient": ...
    @overload
    def get(self, service: Literal["cloudformation"], region: str) -> "CloudFormationClient": ...
    @overload
    def get(self, service: Literal["codebuild"], region: str) -> "CodeBuildClient": ...
    @overload
    def get(self, service: Literal["codepipeline"], region: str) -> "CodePipelineClient": ...
    @overload
    def get(self, service: Literal["ec2"], region: str) -> Ec2Client: ...
    @overload
    def get(self, service: Literal["events"], region: str) -> "EventBridgeClient": ...
    @overload
    def get(self, service: Literal["iam"], region: str) -> "IAMClient": ...
    @overload
    def get(self, service: Literal["kms"], region: str) -> "KMSClient": ...
    @overload
    def get(self, service: Literal["lambda"], region: str) -> "LambdaClient": ...
    @overload
    def get(
        self, service: Literal["resourcegroupstaggingapi"], region: str
    ) -> "ResourceGroupsTaggingAPIClient": ...
    @overload
    def get(self, service: Literal["s3"], region: str) -> "S3Client": ...
    @overload
    def get(self, service: Literal["service-quotas"], region: str) -> "ServiceQuotasClient": ...
    @overload
    def get(self, service: Literal["ssm"], region: str) -> "SSMClient": ...
    @overload
    def get(self, service: Literal["sts"], region: str) -> "STSClient": ...
    def get(self, service: str, region: str) -> Any:
        key = (service, region)
        client = self._clients.get(key)
        if client is None:
            with self._lock:
                client = self._clients.get(key)
                if client is None:
                    client = self._clients[key] = self._make(service, region)
        return client

    def _make(self, service: str, region: str) -> Any:
        make: Any = self.session.client
        return make(service, region_name=region, config=self._config)


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def waited(error: BaseException | None) -> str:
    """How long `Patience` has asked before it raised this error, and why; else nothing."""
    return "; ".join(getattr(error, "__notes__", ()))


@contextmanager
def aws_call(doing: str) -> Iterator[None]:
    """Translate what AWS raises inside the block; `doing` completes "cannot ...".

    Raises TemporaryError or PermanentError with one line that names the thing and the cause.
    """
    try:
        yield
    except FootholdError as error:
        notes = waited(error.__cause__)
        if notes and notes not in str(error):
            raise type(error)(f"{error}; {notes}") from error.__cause__
        raise
    except NoCredentialsError as error:
        raise PermanentError(
            f"cannot {doing}: no AWS credentials found; export them or choose a profile"
        ) from error
    except ClientError as error:
        raise translate(error, doing) from error
    except (ParamValidationError, ProfileNotFound) as error:
        raise PermanentError(f"cannot {doing}: {error}") from error
    except (BotoCoreError, ResponseParserError) as error:
        # Connections refused, timed out or cut, endpoints that do not resolve yet; and replies
        # that were cut short, which botocore's XML parser reports in its own way.
        raise TemporaryError(f"cannot {doing}: {error}") from error


def translate(error: ClientError, doing: str) -> FootholdError:
    """The FootholdError that says the same as this ClientError."""
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    line = f"cannot {doing}: {code}: {error.response.get('Error', {}).get('Message', '')}".strip()
    notes = waited(error)
    line = f"{line}; {notes}" if notes else line
    if code in EXPIRED_CODES:
        return TemporaryError(f"cannot {doing}: the credentials have expired; renew them")
    if code in REGION_REFUSED_CODES:
        return RegionRefusedError(
            f"{line}; is the region enabled for this account, and the sign-in?"
        )
    if code in TEMPORARY_CODES or status in TEMPORARY_STATUS or TAGS_ARE_NEW in notes:
        return TemporaryError(line)
    return PermanentError(line)
