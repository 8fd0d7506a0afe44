"""What the pipeline suites share: stores in three regions of an embedded AWS, an application to
deploy, and a package function small enough to be read in one go."""

import io
import time
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from foothold.aws.clients import Clients
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.reconcile import Reconciler
from local.aws.embedded import HOME_REGION, ORGANIZATION, TOOLS, Embedded
from local.rehearsal.stacks import deploy_stack

HERE = Path(__file__).parent
REGIONS = (HOME_REGION, "eu-west-1", "us-east-1")
BOTOCORE_DATA = ("codepipeline", "kms", "s3", "ssm", "sts")
PACKAGES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """An embedded AWS with artifact stores in three regions and a package function."""
    embedded = Embedded(tmp_path_factory.mktemp("pipeline"))
    try:
        embedded.start()
        make_stores(embedded)
        deploy_package_function(embedded)
        yield embedded
    finally:
        embedded.stop()


def make_stores(embedded: Embedded) -> None:
    plane = ControlPlane(
        account=TOOLS,
        home_region=HOME_REGION,
        stack="foothold",
        organization_ids=(ORGANIZATION,),
        reader_roles=("foothold-deploy", "foothold-cloudformation"),
    )
    clients = Clients(embedded.session())
    parameters = SsmParameters(clients)
    gateways = (KmsKeys(clients), S3Buckets(clients), parameters, AccountRegions(clients))
    reconciler = Reconciler(plane, *gateways, clock=time.time)
    outcomes = reconciler.reconcile(REGIONS)
    assert [outcome.error for outcome in outcomes] == [None] * len(REGIONS)
    # What only the whole control plane writes.
    parameters.put(HOME_REGION, "/foothold/service-token", "arn:aws:lambda:::function:none")


def deploy_package_function(embedded: Embedded) -> None:
    """Deploy packager.py with the permissions that it needs and no others."""
    bucket = f"code-{TOOLS}"
    s3 = embedded.session().client("s3")
    there: Any = {"LocationConstraint": HOME_REGION}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=there)
    s3.put_object(Bucket=bucket, Key="packager.zip", Body=packager_zip(), ExpectedBucketOwner=TOOLS)
    deploy_stack(
        embedded, TOOLS, "packager", (HERE / "packager.yaml").read_text(), {"Code": bucket}
    )


def packager_zip() -> bytes:
    """The function and the SDK, of which the emulator's bare Python has nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(HERE / "packager.py", "app.py")
        for name in PACKAGES:
            spec = find_spec(name)
            assert spec is not None
            assert spec.origin is not None
            file = Path(spec.origin)
            package = file.name == "__init__.py"
            root = file.parent.parent if package else file.parent
            for path in sorted(file.parent.rglob("*")) if package else [file]:
                relative = path.relative_to(root)
                if path.is_file() and is_needed(relative.parts):
                    archive.write(path, relative.as_posix())
    return packed.getvalue()


def is_needed(parts: tuple[str, ...]) -> bool:
    """Whether a file of the SDK is: no bytecode, and of botocore's data only what is called."""
    if "__pycache__" in parts:
        return False
    service_data = parts[:2] == ("botocore", "data") and len(parts) > 3
    return not service_data or parts[2] in BOTOCORE_DATA
