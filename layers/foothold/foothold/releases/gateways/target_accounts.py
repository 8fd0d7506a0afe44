"""Clients in target accounts, as the role that lets releases in there."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from foothold.aws.clients import CONFIG, aws_call, error_code
from foothold.errors import PermanentError
from foothold.partitions import partition_of

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client

# A role that another role assumes lends its credentials for an hour at most (IAM User Guide,
# "Methods to assume a role": role chaining).
LENT_SECONDS = 3600
RENEW_BEFORE_SECONDS = 600
# How long a refusal is taken for the answer to the next region's question, too.
REFUSED_SECONDS = 30


@dataclass(slots=True)
class _Lent:
    """What one account lends: the credentials and the clients that have them, or the refusal."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = 0.0
    credentials: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    clients: dict[tuple[str, str], Any] = field(default_factory=dict)


class TargetClients:
    """boto3 clients in target accounts: one for each service, account and region, made when first
    asked for. Any thread may ask, and may use them.

    `role_name` is that of the role in each account, such as foothold-reader; `session_name` is
    what CloudTrail calls whoever assumes it. A client's credentials are good for ten minutes at
    least: for longer work ask again.
    """

    def __init__(
        self,
        session: boto3.Session,
        role_name: str,
        session_name: str,
        config: Config = CONFIG,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._role_name = role_name
        self._session_name = session_name
        self._config = config
        self._clock = clock
        self._making = threading.Lock()  # sessions are not safe to share while clients are made
        self._accounts: dict[str, _Lent] = defaultdict(_Lent)
        self._sts: Any = None

    @overload
    def client(
        self, service: Literal["cloudformation"], account: str, region: str
    ) -> "CloudFormationClient": ...
    @overload
    def client(self, service: Literal["s3"], account: str, region: str) -> "S3Client": ...
    @overload
    def client(self, service: str, account: str, region: str) -> Any: ...
    def client(self, service: str, account: str, region: str) -> Any:
        """The client. Raises TemporaryError, and PermanentError where the account does not let us
        in."""
        with self._making:
            lent = self._accounts[account]
        with lent.lock:  # one request an account, however many regions ask at once
            self._renew(lent, account, region)
            found = lent.clients.get((service, region))
            if found is None:
                found = self._made(service, region, **lent.credentials)
                lent.clients[service, region] = found
            return found

    def _renew(self, lent: _Lent, account: str, region: str) -> None:
        if self._clock() < lent.until:
            if lent.refused:
                raise PermanentError(lent.refused)
            return
        lent.clients, lent.refused = {}, ""
        try:
            lent.credentials = self._assume(account, region)
        except PermanentError as error:
            lent.refused, lent.until = str(error), self._clock() + REFUSED_SECONDS
            raise
        lent.until = self._clock() + LENT_SECONDS - RENEW_BEFORE_SECONDS

    def _assume(self, account: str, region: str) -> dict[str, str]:
        """The role's credentials, from the STS of our own region: they are good in every one
        (IAM User Guide, "Managing AWS STS in an AWS Region")."""
        arn = f"arn:{partition_of(region).name}:iam::{account}:role/{self._role_name}"
        with aws_call(f"be {arn}"):
            try:
                if self._sts is None:
                    self._sts = self._made("sts", self._session.region_name or region)
                lent = self._sts.assume_role(
                    RoleArn=arn, RoleSessionName=self._session_name, DurationSeconds=LENT_SECONDS
                )["Credentials"]
            except ClientError as error:
                if error_code(error) != "AccessDenied":
                    raise
                raise PermanentError(_not_let_in(account, self._role_name)) from error
        return {
            "aws_access_key_id": lent["AccessKeyId"],
            "aws_secret_access_key": lent["SecretAccessKey"],
            "aws_session_token": lent["SessionToken"],
        }

    def _made(self, service: str, region: str, **credentials: str) -> Any:
        make: Any = self._session.client
        with self._making:
            return make(service, region_name=region, config=self._config, **credentials)


def _not_let_in(account: str, role: str) -> str:
    """STS answers the same whether there is no such role or it does not trust the caller."""
    return (
        f"account {account} has no role {role} that lets this one in: run `aws cloudformation "
        "deploy --template-file pipelines/target-account.yaml --stack-name foothold-target "
        "--capabilities CAPABILITY_NAMED_IAM` there, with its parameters as in docs/pipeline.md"
    )
