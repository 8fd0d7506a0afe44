"""One live account, asked by the acceptance run with its operator's own credentials."""

import json
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from foothold.acceptance.table import RUN_TAG, Answer, Encryption, Reply, Run, StackSeen, refusal
from foothold.aws.clients import CONFIG, Clients, aws_call, error_code, translate
from foothold.errors import NotReachedError, PermanentError, TemporaryError
from foothold.partitions import partition_of
from foothold.stores.gateways.functions import NOT_REACHED
from foothold.stores.model import REGION_TAG
from foothold.stores.register import ArtifactStore

# As long as the package function may take; an order is not given twice.
PATIENT = CONFIG.merge(Config(read_timeout=910, retries={"total_max_attempts": 1}))
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403"})
# Of a key that AWS manages, KMS tells the ARN wherever its alias is asked about, whether it was
# used before or not (AWS KMS API Reference, "DescribeKey").
ANOTHER_ALIAS = "alias/aws/s3"
COUNTING = "foothold-accept"
OWN_KEY = "k" * 32  # no secret: nothing is ever written under it


Reader = boto3.Session | Answer  # an answer where there is nobody to read as, and why


class TargetAccount:
    """A target account, as a profile of the caller's machine works in it. `tools` is the session
    of the account that Foothold is deployed in; `deploy_role` the name of a role that may read
    artifacts."""

    def __init__(self, tools: boto3.Session, session: boto3.Session, deploy_role: str) -> None:
        self._tools = tools
        self.session = session
        self._deploy_role = deploy_role

    def readers(self, owner: str, region: str) -> tuple[Reader, Reader]:
        """The deploy role, and another role: the profile itself. `owner` is the account that the
        artifacts are of.

        A deploy role lets pipelines in. So the profile may be that role; or whoever asks was let
        in for the time of the run, from the owner's account or from the target's.
        """
        sts = self.session.client("sts", region_name=region, config=CONFIG)
        caller = sts.get_caller_identity()["Arn"]
        _, partition, _, _, account, _ = caller.split(":", 5)
        if account == owner:
            line = f"the target profile is of {owner} itself, which owns the artifacts"
            return Answer(Reply.NOT_ASKED, line), Answer(Reply.NOT_ASKED, line)
        if f":assumed-role/{self._deploy_role}/" in caller:
            line = f"the target profile is {self._deploy_role} itself"
            return self.session, Answer(Reply.NOT_ASKED, line)
        arn = f"arn:{partition}:iam::{account}:role/{self._deploy_role}"
        for session in (self._tools, self.session):
            sts = session.client("sts", region_name=region, config=CONFIG)
            try:
                lent = sts.assume_role(RoleArn=arn, RoleSessionName="foothold-accept")
            except ClientError as error:
                if error_code(error) not in DENIED:
                    raise
            else:
                return _session(lent["Credentials"], region), self.session
        return Answer(Reply.NO_RIGHT, f"sts:AssumeRole {arn}"), self.session


def _session(credentials: Mapping[str, Any], region: str) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=region,
    )


class OperatorsAccount:
    """`acceptance.run.LiveAccount` on AWS.

    `session` is the operator's, in the home region; `target` is None where no profile was named.
    """

    def __init__(self, session: boto3.Session, target: TargetAccount | None = None) -> None:
        self._session = session
        self._target = target
        self._clients = Clients(session)
        self._patient = Clients(session, PATIENT)
        self._readers: tuple[Reader, Reader] | None = None
        self._account = ""
        self._sent = 0
        for each in (session, target.session) if target else (session,):
            each.events.register("before-send", self._count, unique_id=COUNTING)

    def _count(self, **_: object) -> None:
        self._sent += 1

    @property
    def calls(self) -> int:
        return self._sent

    @property
    def _home(self) -> str:
        return self._clients.home_region

    def _client(self, service: str, region: str | None = None) -> Any:
        clients: Any = self._clients
        return clients.get(service, region or self._home)

    def account(self) -> str:
        if not self._account:
            with aws_call("ask who the caller is"):
                self._account = str(self._client("sts").get_caller_identity()["Account"])
        return self._account

    def remember(self, name: str, run: Run) -> bool:
        ssm = self._client("ssm")
        with aws_call(f"write the parameter {name} in {self._home}"):
            try:
                ssm.put_parameter(Name=name, Value=run.text, Type="String", Tags=_tags(run))
            except ClientError as error:
                if error_code(error) == "ParameterAlreadyExists":
                    return False
                raise
        return True

    # --- Stacks

    def create_stack(
        self, name: str, template: Mapping[str, Any], run: Run, role: str | None = None
    ) -> None:
        more: dict[str, Any] = {}
        if role:
            partition = partition_of(self._home).name
            more["RoleARN"] = f"arn:{partition}:iam::{self.account()}:role/{role}"
            more["Capabilities"] = ["CAPABILITY_NAMED_IAM"]
        with aws_call(f"create the stack {name}"):
            self._client("cloudformation").create_stack(
                StackName=name,
                TemplateBody=json.dumps(template),
                Tags=_tags(run),
                # What failed is seen at once, and deleted in the end.
                OnFailure="DO_NOTHING",
                **more,
            )

    def stack(self, name: str) -> StackSeen | None:
        cloudformation = self._client("cloudformation")
        with aws_call(f"look at the stack {name}"):
            try:
                (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                # The one code for all that CloudFormation refuses, a stack that is not there too.
                if error_code(error) == "ValidationError" and "does not exist" in str(error):
                    return None
                raise
            status = str(found["StackStatus"])
            if not status.endswith("_FAILED"):
                return StackSeen(status)
            events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for event in reversed(events)
            if event["ResourceStatus"].endswith("_FAILED") and "ResourceStatusReason" in event
        ]
        return StackSeen(status, reasons[0] if reasons else found.get("StackStatusReason", ""))

    def delete_stack(self, name: str) -> None:
        with aws_call(f"delete the stack {name}"):
            self._client("cloudformation").delete_stack(StackName=name)

    # --- Objects

    def put(
        self, store: ArtifactStore, key: str, encryption: Encryption, body: bytes = b"x"
    ) -> Answer:
        s3 = self._client("s3", store.region)
        place = _place(store, key, self.account())
        return _answer(
            f"write {key} to {store.bucket}",
            lambda: s3.put_object(**place, Body=body, **_headers(encryption)),
        )

    def put_in_parts(self, store: ArtifactStore, key: str, encryption: Encryption) -> Answer:
        """One part is enough: S3 asks the policy about each as about a write of its own (Amazon S3
        User Guide, "Multipart upload API and permissions")."""
        s3 = self._client("s3", store.region)
        place = _place(store, key, self.account())

        def upload() -> Any:
            upload = s3.create_multipart_upload(**place, **_headers(encryption))["UploadId"]
            try:
                part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x")
                parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
                return s3.complete_multipart_upload(
                    **place, UploadId=upload, MultipartUpload={"Parts": parts}
                )
            except ClientError:
                s3.abort_multipart_upload(**place, UploadId=upload)
                raise

        return _answer(f"write {key} to {store.bucket} in parts", upload)

    def read(self, store: ArtifactStore, key: str) -> Answer:
        return self._read(self._client("s3", store.region), store, key)

    def read_over_plain_http(self, store: ArtifactStore, key: str) -> Answer:
        endpoint = self._client("s3", store.region).meta.endpoint_url
        if not endpoint.startswith("https://"):
            line = f"every call to {endpoint} is plain HTTP, so this one shows nothing"
            return Answer(Reply.NOT_ASKED, line)
        plain = self._session.client("s3", region_name=store.region, config=CONFIG, use_ssl=False)
        return self._read(plain, store, key)

    def read_as_deploy_role(self, store: ArtifactStore, key: str) -> Answer:
        return self._read_as(0, store, key)

    def read_as_another_role(self, store: ArtifactStore, key: str) -> Answer:
        return self._read_as(1, store, key)

    def _read_as(self, which: int, store: ArtifactStore, key: str) -> Answer:
        if self._target is None:
            return Answer(Reply.NOT_ASKED, "no target account: --target-profile names one")
        if self._readers is None:
            with aws_call("assume the deploy role of the target account"):
                self._readers = self._target.readers(self.account(), store.region)
        reader = self._readers[which]
        if isinstance(reader, Answer):
            return reader
        reader.events.register("before-send", self._count, unique_id=COUNTING)
        s3 = reader.client("s3", region_name=store.region, config=CONFIG)
        return self._read(s3, store, key)

    def _read(self, s3: Any, store: ArtifactStore, key: str) -> Answer:
        place = _place(store, key, self.account())

        def read() -> Any:
            found = s3.get_object(**place)
            found["Body"].read()
            return found

        return _answer(f"read {key} in {store.bucket}", read)

    def delete_objects(self, region: str, bucket: str, prefix: str) -> None:
        s3 = self._client("s3", region)
        owned = {"Bucket": bucket, "ExpectedBucketOwner": self.account()}
        with aws_call(f"delete {prefix}* in {bucket}"):
            for page in s3.get_paginator("list_object_versions").paginate(**owned, Prefix=prefix):
                found = [
                    {"Key": one["Key"], "VersionId": one["VersionId"]}
                    for one in chain(page.get("Versions", ()), page.get("DeleteMarkers", ()))
                ]
                if found:
                    answer = s3.delete_objects(**owned, Delete={"Objects": found, "Quiet": True})
                    for error in answer.get("Errors", ()):
                        line = f"cannot delete {error['Key']} in {bucket}: {error['Code']}"
                        raise PermanentError(line)
            pages = s3.get_paginator("list_multipart_uploads").paginate(**owned, Prefix=prefix)
            for one in [one for page in pages for one in page.get("Uploads", ())]:
                s3.abort_multipart_upload(**owned, Key=one["Key"], UploadId=one["UploadId"])

    # --- Keys

    def another_key(self, region: str) -> str:
        with aws_call(f"look for another key in {region}"):
            try:
                found = self._client("kms", region).describe_key(KeyId=ANOTHER_ALIAS)
            except ClientError as error:
                if error_code(error) != "NotFoundException":
                    raise
                # Whichever it is, the policy is asked before the key is looked for.
                where = f"{partition_of(region).name}:kms:{region}:{self.account()}"
                return f"arn:{where}:key/00000000-0000-0000-0000-000000000000"
        return str(found["KeyMetadata"]["Arn"])

    def create_alias(self, region: str, name: str, key_arn: str) -> None:
        with aws_call(f"create {name} in {region}"):
            self._client("kms", region).create_alias(AliasName=name, TargetKeyId=key_arn)

    def aliased(self, region: str, name: str) -> str | None:
        with aws_call(f"look at {name} in {region}"):
            try:
                found = self._client("kms", region).describe_key(KeyId=name)
            except ClientError as error:
                if error_code(error) == "NotFoundException":
                    return None
                raise
        return str(found["KeyMetadata"]["Arn"])

    def delete_alias(self, region: str, name: str) -> None:
        with aws_call(f"delete {name} in {region}"):
            try:
                self._client("kms", region).delete_alias(AliasName=name)
            except ClientError as error:
                if error_code(error) != "NotFoundException":
                    raise

    def tagged_keys(self, region: str) -> Collection[str]:
        tagging = self._client("resourcegroupstaggingapi", region)
        with aws_call(f"look for keys by their tags in {region}"):
            pages = tagging.get_paginator("get_resources").paginate(
                TagFilters=[{"Key": REGION_TAG, "Values": [region]}],
                ResourceTypeFilters=["kms:key"],
            )
            return [one["ResourceARN"] for page in pages for one in page["ResourceTagMappingList"]]

    # --- Functions and pipelines

    def invoke(self, function: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        doing = f"invoke the function {function}"
        with aws_call(doing):
            try:
                answer = self._patient.get("lambda", self._home).invoke(
                    FunctionName=function, Payload=json.dumps(payload).encode()
                )
            except ClientError as error:
                if error_code(error) in NOT_REACHED:
                    raise NotReachedError(str(translate(error, doing))) from error
                raise
            found: Any = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            words = f"{found.get('errorType')}: {found.get('errorMessage')}"
            kind = TemporaryError if found.get("errorType") == "TemporaryError" else PermanentError
            raise kind(f"the function {function} failed: {words}")
        return dict(found)

    def pipeline(self, name: str) -> Mapping[str, Any]:
        with aws_call(f"read the pipeline {name}"):
            found: Any = self._client("codepipeline").get_pipeline(name=name)
        return dict(found["pipeline"])

    def start_pipeline(self, name: str, before: str) -> None:
        codepipeline = self._client("codepipeline")
        with aws_call(f"start the pipeline {name}"):
            codepipeline.disable_stage_transition(
                pipelineName=name,
                stageName=before,
                transitionType="Inbound",
                reason="an acceptance run deploys nothing",
            )
            codepipeline.start_pipeline_execution(name=name)

    def stages(self, name: str) -> Mapping[str, str]:
        with aws_call(f"read the state of the pipeline {name}"):
            found: Any = self._client("codepipeline").get_pipeline_state(name=name)
        return {
            stage["stageName"]: stage.get("latestExecution", {}).get("status", "not begun")
            for stage in found["stageStates"]
        }


def _tags(run: Run) -> list[dict[str, str]]:
    return [{"Key": RUN_TAG, "Value": run.id}]


def _place(store: ArtifactStore, key: str, owner: str) -> dict[str, Any]:
    return {"Bucket": store.bucket, "Key": key, "ExpectedBucketOwner": owner}


def _headers(encryption: Encryption) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    if encryption.algorithm:
        sent["ServerSideEncryption"] = encryption.algorithm
    if encryption.key:
        sent["SSEKMSKeyId"] = encryption.key
    if encryption.own_key:
        sent |= {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": OWN_KEY}
    return sent


def _answer(doing: str, ask: Callable[[], Any]) -> Answer:
    """What S3 answers about an object. Raises what is no answer of its policies."""
    with aws_call(doing):
        try:
            found = ask()
        except ClientError as error:
            if error_code(error) in DENIED:
                return refusal(str(error.response["Error"].get("Message", "")))
            raise
    return Answer(Reply.DONE, key_arn=found.get("SSEKMSKeyId"))
