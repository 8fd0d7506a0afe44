"""An application of every kind of object, and its packaging for three regions."""

from benchmarks.s3 import World
from foothold.packaging.packager import Packaged, PackageRequest
from tests.packaging.side_by_side import SideBySide, packager, store

TEMPLATE = """\
Resources:
  Code: {Type: AWS::Lambda::Function, Properties: {Code: src, Handler: app.handler, Role: x}}
  Machine:
    Type: AWS::StepFunctions::StateMachine
    Properties: {DefinitionS3Location: machine.json}
  Child: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: child.yaml}}
"""
CHILD = """\
Resources:
  Inner: {Type: AWS::Lambda::Function, Properties: {Code: src, Handler: app.handler, Role: x}}
"""
REGIONS = ("ap-south-1", "eu-west-1", "us-east-1")


def plant(side_by_side: SideBySide) -> None:
    """Write the application into the folder that both ways of packaging look at."""
    side_by_side.regions = REGIONS
    side_by_side.write(
        {
            "template.yaml": TEMPLATE,
            "child.yaml": CHILD,
            "src/app.py": "def handler(event, context):\n    return event\n",
            "src/data.bin": bytes(range(256)) * 4000,
            "machine.json": '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}',
        }
    )


def package(app: SideBySide, **buckets: str) -> Packaged:
    """Package for all regions; a bucket's first word says how S3 answers for it."""
    stores = {
        region: store(region, buckets.get(region.replace("-", "_"), "foothold"))
        for region in REGIONS
    }
    return packager(stores).package(PackageRequest("shop", app.app / "template.yaml"))


def written(world: World) -> int:
    return world.requests.get("PUT", 0)
