"""Objects in the stores of many regions, through one client."""

import os
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config

from foothold.aws.regional import RegionalClient
from foothold.packaging.gateways.objects import RegionalObjects
from foothold.packaging.verify import Verifier
from foothold.stores.register import ArtifactStore
from tests.packaging.shop import REGIONS, package
from tests.packaging.side_by_side import SideBySide, regional_objects, store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ACCOUNT = "111111111111"


def test_every_call_names_the_owner_it_expects(app: SideBySide) -> None:
    objects = regional_objects(os.environ["AWS_ENDPOINT_URL"])
    seen: list[tuple[str, Any]] = []
    events = objects._s3.meta.events
    name = "before-parameter-build.s3"

    def look(params: Mapping[str, Any], model: Any, **_: Any) -> None:
        seen.append((model.name, params.get("ExpectedBucketOwner")))

    events.register(name, look)
    try:
        packaged = package(app)
        Verifier(objects).verify(packaged.manifest, app.app)
        first = packaged.manifest.packages[0]
        objects.measured(first.store, first.objects[0].key)
        objects.fetch(first.store, first.objects[0].key, app.app / "fetched")
    finally:
        events.unregister(name, look)
    assert {call for call, _ in seen} == {"HeadObject", "PutObject", "GetObject"}
    assert {owner for _, owner in seen} == {"111111111111"}


def test_an_endpoint_is_named_as_sams_own_client_names_it() -> None:
    session = boto3.Session("x", "y", region_name="eu-west-1")
    homes = {"aws": "eu-central-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
    for partition, home in homes.items():
        ours = RegionalObjects(RegionalClient(session, home, 1), lambda: ACCOUNT)
        for region in session.get_available_regions("s3", partition):
            config = Config(signature_version="s3v4", region_name=region)
            theirs = session.client("s3", config=config).meta.endpoint_url
            assert ours.endpoint_of(region) == theirs


@pytest.mark.parametrize("variable", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_an_endpoint_is_of_the_kind_that_the_environment_asks_for(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "true")
    session = boto3.Session("x", "y", region_name="us-west-2")
    ours = RegionalObjects(RegionalClient(session, "us-west-2", 1), lambda: ACCOUNT)
    config = Config(signature_version="s3v4", region_name="us-east-1")
    assert ours.endpoint_of("us-east-1") == session.client("s3", config=config).meta.endpoint_url


def test_an_endpoint_that_was_configured_is_the_same_for_all_regions(app: SideBySide) -> None:
    objects = regional_objects(app.environment["AWS_ENDPOINT_URL"])
    assert objects.endpoint_of("eu-west-1") == app.environment["AWS_ENDPOINT_URL"]


def test_a_store_is_spoken_to_in_its_own_region(app: SideBySide) -> None:
    objects = regional_objects(os.environ["AWS_ENDPOINT_URL"])
    signed: dict[str, str] = {}

    def look(request: Any, **_: Any) -> None:
        scope = request.headers["Authorization"].decode().split("/")[2]
        signed[request.url.split("/")[3]] = scope

    objects._s3.meta.events.register("before-send.s3", look)
    try:
        package(app)
    finally:
        objects._s3.meta.events.unregister("before-send.s3", look)
    assert signed == {store(region).bucket: region for region in REGIONS}


def test_whatever_a_store_is_said_to_be_its_bucket_has_to_be_the_callers_own(
    without_sam: SideBySide,
) -> None:
    other = ArtifactStore("eu-west-1", "foothold-x", "arn:aws:kms:eu-west-1:222222222222:key/x")
    objects = regional_objects(without_sam.environment["AWS_ENDPOINT_URL"])
    assert objects._of(other, "key")["ExpectedBucketOwner"] == ACCOUNT
