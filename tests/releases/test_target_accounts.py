"""Clients in target accounts."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from foothold.errors import PermanentError, TemporaryError
from foothold.releases.gateways.target_accounts import TargetClients

ACCOUNT = "222222222222"
LENT = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIALENT%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>t</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""
REFUSED = b"""<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error>
</ErrorResponse>"""


class Sts:
    """What AWS answers to requests for credentials; it counts and keeps them."""

    def __init__(self, code: bytes = b"") -> None:
        self.code = code
        self.asked: list[Any] = []
        self.now = 1000.0
        self.session = boto3.Session("key", "secret", region_name="eu-central-1")
        events: Any = self.session.events  # a handler of before-send may answer
        events.register("before-send.sts", self.answer)

    def answer(self, request: Any, **_: Any) -> AWSResponse:
        self.asked.append(request)
        body, status = (REFUSED % self.code, 403) if self.code else (LENT % len(self.asked), 200)
        return _Whole(request.url, status, {}, body)

    def clients(self) -> TargetClients:
        return TargetClients(
            self.session, "foothold-reader", "foothold-review", clock=lambda: self.now
        )


class _Whole(AWSResponse):
    """An answer of which everything is there."""

    def __init__(self, url: str, status: int, headers: Any, body: bytes) -> None:
        super().__init__(url, status, headers, None)
        self._content = body


def key_of(client: Any) -> str:
    return str(client._request_signer._credentials.access_key)


def test_an_account_lends_its_role_once_for_all_regions_at_a_time() -> None:
    sts = Sts()
    clients = sts.clients()
    with ThreadPoolExecutor(8) as pool:
        regions = ["eu-west-1", "us-east-1", "ap-south-1", "eu-west-1"] * 4
        made = list(pool.map(lambda one: clients.client("cloudformation", ACCOUNT, one), regions))
    assert {key_of(one) for one in made} == {"ASIALENT1"}
    assert len(sts.asked) == 1
    assert len({id(one) for one in made}) == 3
    assert made[1].meta.region_name == "us-east-1"
    assert "role%2Ffoothold-reader" in str(sts.asked[0].body)
    assert "eu-central-1" in sts.asked[0].url


def test_each_account_lends_its_own() -> None:
    sts = Sts()
    clients = sts.clients()
    one = clients.client("cloudformation", ACCOUNT, "eu-west-1")
    other = clients.client("cloudformation", "333333333333", "eu-west-1")
    assert key_of(one) != key_of(other)


def test_credentials_are_renewed_before_they_expire() -> None:
    sts = Sts()
    clients = sts.clients()
    first = clients.client("cloudformation", ACCOUNT, "eu-west-1")
    sts.now += 3000 - 1
    assert clients.client("cloudformation", ACCOUNT, "eu-west-1") is first
    sts.now += 1
    assert key_of(clients.client("cloudformation", ACCOUNT, "eu-west-1")) == "ASIALENT2"


def test_an_account_without_the_role_is_told_with_the_command_and_asked_once_for_all_regions() -> (
    None
):
    sts = Sts(b"AccessDenied")
    clients = sts.clients()
    for region in ("eu-west-1", "us-east-1"):
        with pytest.raises(PermanentError, match=r"222222222222 has no role foothold-reader.*aws "):
            clients.client("cloudformation", ACCOUNT, region)
    assert len(sts.asked) == 1
    sts.code = b""
    sts.now += 30
    assert key_of(clients.client("cloudformation", ACCOUNT, "eu-west-1")) == "ASIALENT2"


def test_a_busy_sts_is_another_thing_than_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    clients = Sts(b"Throttling").clients()
    with pytest.raises(TemporaryError):
        clients.client("cloudformation", ACCOUNT, "eu-west-1")


def test_the_role_is_that_of_the_regions_partition() -> None:
    sts = Sts()
    sts.clients().client("cloudformation", ACCOUNT, "cn-north-1")
    assert "arn%3Aaws-cn%3Aiam" in str(sts.asked[0].body)
