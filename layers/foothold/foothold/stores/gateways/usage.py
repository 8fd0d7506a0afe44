"""Who uses a region's artifacts: pipelines of the home region, and stacks that were deployed."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3

from foothold.aws.clients import Clients, aws_call
from foothold.stores.model import FOLLOW_TAG, StoreSpec
from foothold.stores.ports import PipelineUse

if TYPE_CHECKING:
    from mypy_boto3_codepipeline.type_defs import PipelineDeclarationOutputTypeDef

AT_ONCE = 8
# Every status but those of a stack that is gone (AWS CloudFormation API Reference, "Stack").
# IMPORT_* are stacks too; a stack in DELETE_FAILED still holds what it could not delete.
LIVE: "Sequence[Any]" = (
    "CREATE_IN_PROGRESS",
    "CREATE_FAILED",
    "CREATE_COMPLETE",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_FAILED",
    "DELETE_FAILED",
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_IN_PROGRESS",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_IN_PROGRESS",
    "IMPORT_ROLLBACK_FAILED",
    "IMPORT_ROLLBACK_COMPLETE",
)


class DeployedUsage:
    """`stores.ports.Usage` on AWS. `reader_role_arns` are roles of other accounts that may
    list stacks and read their templates: their accounts are looked at besides our own."""

    def __init__(
        self, clients: Clients, home_region: str, reader_role_arns: Sequence[str] = ()
    ) -> None:
        self._clients = clients
        self._home = home_region
        self._reader_role_arns = tuple(reader_role_arns)

    def pipelines(self, bucket: str) -> tuple[PipelineUse, ...]:
        codepipeline = self._clients.get("codepipeline", self._home)
        used = []
        with aws_call(f"list the pipelines in {self._home}"):
            pages = codepipeline.get_paginator("list_pipelines").paginate()
            names = [pipeline["name"] for page in pages for pipeline in page["pipelines"]]
        for name in names:
            with aws_call(f"read the pipeline {name}"):
                answer = codepipeline.get_pipeline(name=name)
                if bucket not in _locations(answer["pipeline"]):
                    continue
                arn = answer["metadata"]["pipelineArn"]
                tags = codepipeline.list_tags_for_resource(resourceArn=arn)["tags"]
            follows = {"key": FOLLOW_TAG, "value": "true"} in tags
            used.append(PipelineUse(name, follows))
        return tuple(used)

    def stacks(self, spec: StoreSpec) -> tuple[str, ...]:
        found = [f"{spec.account}/{name}" for name in _naming(self._clients, spec)]
        for role_arn in self._reader_role_arns:
            clients = self._assumed(role_arn)
            found += [f"{role_arn.split(':')[4]}/{name}" for name in _naming(clients, spec)]
        return tuple(found)

    def _assumed(self, role_arn: str) -> Clients:
        with aws_call(f"assume {role_arn}"):
            credentials = self._clients.get("sts", self._home).assume_role(
                RoleArn=role_arn, RoleSessionName="foothold-retirement"
            )["Credentials"]
        session = boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name=self._home,
        )
        return Clients(session)


def _locations(pipeline: "PipelineDeclarationOutputTypeDef") -> set[str]:
    stores = [*pipeline.get("artifactStores", {}).values()]
    if "artifactStore" in pipeline:
        stores.append(pipeline["artifactStore"])
    return {store["location"] for store in stores}


def _naming(clients: Clients, spec: StoreSpec) -> Iterator[str]:
    """The live stacks in the region whose template, as it was deployed, names the bucket."""
    cloudformation = clients.get("cloudformation", spec.region)

    def names_it(stack: dict[str, str]) -> bool:
        with aws_call(f"read the template of stack {stack['StackName']} in {spec.region}"):
            body = cloudformation.get_template(
                StackName=stack["StackId"], TemplateStage="Processed"
            )
        template = body["TemplateBody"]
        return spec.bucket in (template if isinstance(template, str) else json.dumps(template))

    with aws_call(f"list the stacks in {spec.region}"):
        pages = cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=list(LIVE))
        stacks = [stack for page in pages for stack in page["StackSummaries"]]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for stack, uses in zip(stacks, pool.map(names_it, stacks), strict=True):
            if uses:
                yield stack["StackName"]
