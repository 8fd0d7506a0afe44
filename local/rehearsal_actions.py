"""What each action of a pipeline does, played on the embedded AWS with the pipeline's own roles.

Source, CodeBuild, the Lambda job and CloudFormation's change sets are the real things where the
embedded AWS has them; CodePipeline and CodeBuild themselves, which it has not, are played here.
"""

import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from foothold.pipelines.declaration import PIPELINE_VARIABLE
from local.embedded import TOOLS, Embedded, EmbeddedSession

Json = dict[str, Any]

JOBS_PATH = "/_rehearsal/jobs/"
WAIT_SECONDS = 600
# AWS CodeBuild User Guide, "Running builds on AWS Lambda compute".
LAMBDA_MINUTES = 15
LOOK_EVERY_SECONDS = 0.2
PHASES = ("install", "pre_build", "build", "post_build")
ON_FAILURE = re.compile(
    r"|ABORT|CONTINUE|(?P<retry>RETRY)(?:-(?P<count>[0-9]+))?(?:-(?P<regex>.+))?"
)
SHOWN = 60  # characters of a buildspec that is no path
PATIENT = Config(read_timeout=WAIT_SECONDS, retries={"total_max_attempts": 1})


class ActionFailedError(Exception):
    """An action that did not succeed; the message is its one-line reason, `command` what a person
    would run next, if anything."""

    def __init__(self, message: str, command: str = "") -> None:
        super().__init__(message)
        self.command = command


@dataclass(frozen=True, slots=True)
class Artifact:
    """One version of one object in an artifact store."""

    bucket: str
    key: str
    version: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a change set would do: how many of what, and the lines that say so."""

    added: int = 0
    modified: int = 0
    removed: int = 0
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.lines:
            return "nothing to change"
        return f"{self.added} to add, {self.modified} to modify, {self.removed} to remove"


@dataclass
class Execution:
    """What one execution knows: the pipeline's definition, its artifacts, its change sets."""

    definition: Json
    home_region: str
    source: Path
    work: Path
    approve: Callable[[Json, Mapping[tuple[str, str], Changes]], bool]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    changes: dict[tuple[str, str], Changes] = field(default_factory=dict)


class Player:
    """Plays the actions of one pipeline. One instance serves one execution, from any thread."""

    def __init__(self, embedded: Embedded, run: Execution, project: Json) -> None:
        self._embedded = embedded
        self._run = run
        self._project = project
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._copies: dict[tuple[str, str], Artifact] = {}
        self._stores = stores_of(run.definition, run.home_region)

    def play(self, action: Json) -> str:
        """Do what the action says and return a word on it. Raises ActionFailedError."""
        provider = action["ActionTypeId"]["Provider"]
        asked, action = action, self._filled(action)
        try:
            match provider:
                case "CodeBuild":
                    return self._build(action)
                case "Lambda":
                    return self._invoke(action)
                case "Manual":
                    return self._approve(asked)  # whoever is asked knows it as it was declared
                case "CloudFormation":
                    return self._deploy(action)
                case _:
                    return self._source(action)
        except (ClientError, BotoCoreError) as error:
            raise ActionFailedError(str(error)) from error

    def _filled(self, action: Json) -> Json:
        """The action with what its pipeline variables stand for. Raises ActionFailedError for one
        that no earlier action gave, which CodePipeline does not pass on either."""
        known = {"codepipeline": {"PipelineExecutionId": self._run.id}, **self._run.variables}

        def value(found: re.Match[str]) -> str:
            namespace, _, name = found[1].partition(".")
            if name not in known.get(namespace, {}):
                raise ActionFailedError(f"no action has given {found[0]}")
            return json.dumps(known[namespace][name])[1:-1]  # what holds variables is JSON

        filled = {
            name: PIPELINE_VARIABLE.sub(value, text) if isinstance(text, str) else text
            for name, text in action["Configuration"].items()
        }
        return {**action, "Configuration": filled}

    def _look_at_stores(self) -> None:
        """CodePipeline refuses a bucket in another region than it is told, or unversioned."""
        for region, store in self._stores.items():
            s3 = self._client(self._pipeline_role, "s3", region)
            bucket = {"Bucket": store["Location"], "ExpectedBucketOwner": TOOLS}
            there = s3.get_bucket_location(**bucket)["LocationConstraint"] or "us-east-1"
            if there != region:
                raise ActionFailedError(f"{store['Location']} is in {there}, not in {region}")
            if s3.get_bucket_versioning(**bucket).get("Status") != "Enabled":
                raise ActionFailedError(f"{store['Location']} in {region} keeps no versions")

    # Roles

    @property
    def _pipeline_role(self) -> str:
        return str(self._run.definition["RoleArn"])

    def _client(self, role_arn: str, service: str, region: str) -> Any:
        """A client of this role. The pipeline's account's own services assume its roles; the
        pipeline's role assumes those of target accounts."""
        key = (role_arn, service, region)
        with self._lock:
            if key not in self._clients:
                session = self._session(role_arn, region)
                more = {"config": PATIENT} if service == "lambda" else {}
                make: Any = session.client
                self._clients[key] = make(service, **more)
            return self._clients[key]

    def _session(self, role_arn: str, region: str, policy: Json | None = None) -> boto3.Session:
        if role_arn.split(":")[4] == TOOLS and not role_arn.endswith("role/foothold-deploy"):
            sts = self._embedded.session(TOOLS, region).client("sts")
        else:
            sts = self._client(self._pipeline_role, "sts", self._run.home_region)
        more: Json = {"Policy": json.dumps(policy)} if policy else {}
        credentials = sts.assume_role(
            RoleArn=role_arn, RoleSessionName=self._run.definition["Name"], **more
        )["Credentials"]
        return EmbeddedSession(
            self._embedded.endpoint,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name=region,
        )

    # Artifacts

    def _put(self, role_arn: str, region: str, name: str, body: bytes) -> Artifact:
        store = self._stores[region]
        key = self._new_key(name)
        answer = self._client(role_arn, "s3", region).put_object(
            Bucket=store["Location"],
            Key=key,
            Body=body,
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=store["EncryptionKey"]["Id"],
            ExpectedBucketOwner=TOOLS,
        )
        return Artifact(store["Location"], key, answer["VersionId"])

    def _new_key(self, name: str) -> str:
        """A key as CodePipeline makes them: the names shortened, and a part of its own."""
        return f"{self._run.definition['Name'][:20]}/{name[:10]}/{uuid.uuid4().hex[:7]}"

    def _get(self, role_arn: str, region: str, artifact: Artifact) -> bytes:
        answer = self._client(role_arn, "s3", region).get_object(
            Bucket=artifact.bucket,
            Key=artifact.key,
            VersionId=artifact.version,
            ExpectedBucketOwner=TOOLS,
        )
        return bytes(answer["Body"].read())

    def _input(self, action: Json, region: str) -> Artifact:
        """The action's input artifact in this region, replicated there when first asked for."""
        name = action["InputArtifacts"][0]["Name"]
        original = self._run.artifacts[name]
        if region == self._run.home_region:
            return original
        with self._lock:
            if (name, region) not in self._copies:
                body = self._get(self._pipeline_role, self._run.home_region, original)
                self._copies[name, region] = self._put(self._pipeline_role, region, name, body)
            return self._copies[name, region]

    # Actions

    def _source(self, action: Json) -> str:
        self._look_at_stores()
        name = action["OutputArtifacts"][0]["Name"]
        files = sorted(source_files(self._run.source))
        body = zip_of(self._run.source, files)
        home = self._run.home_region
        self._run.artifacts[name] = self._put(self._pipeline_role, home, name, body)
        if namespace := action.get("Namespace"):
            version = self._run.artifacts[name].version
            self._run.variables[namespace] = source_variables(action, body, version)
        return f"{len(files)} files of {self._run.source.name}"

    def _build(self, action: Json) -> str:
        home, role = self._run.home_region, self._project["ServiceRole"]
        folder = self._run.work / "build"
        unzip(self._get(role, home, self._input(action, home)), folder)
        session = self._session(role, home)
        spec = buildspec(self._project["Source"]["BuildSpec"], folder)
        environment = self._build_environment(session, spec, action)
        log = self._run.work / "build.log"
        minutes = self._project.get("TimeoutInMinutes", LAMBDA_MINUTES)
        run_phases(spec, folder, environment, log, 60 * minutes)
        if namespace := action.get("Namespace"):
            self._run.variables[namespace] = exported_variables(spec, log)
        body, count = built_artifact(spec, folder)
        name = action["OutputArtifacts"][0]["Name"]
        self._run.artifacts[name] = self._put(role, home, name, body)
        return f"{count} files built"

    def _build_environment(
        self, session: boto3.Session, spec: Json, action: Json
    ) -> dict[str, str]:
        """What CodeBuild gives to a build: nothing of this machine but where its programs are."""
        plain: dict[str, str] = {}
        for variable in self._project["Environment"]["EnvironmentVariables"]:
            kind = variable.get("Type", "PLAINTEXT")
            plain[variable["Name"]] = looked_up(session, kind, variable["Value"])
        for variable in json.loads(action["Configuration"].get("EnvironmentVariables", "[]")):
            plain[variable["name"]] = looked_up(session, variable["type"], variable["value"])
        declared = spec.get("env") or {}
        plain |= {name: str(value) for name, value in (declared.get("variables") or {}).items()}
        for section, kind in (
            ("parameter-store", "PARAMETER_STORE"),
            ("secrets-manager", "SECRETS_MANAGER"),
        ):
            for name, value in (declared.get(section) or {}).items():
                plain[name] = looked_up(session, kind, value)
        credentials = session.get_credentials()
        if credentials is None:
            raise ActionFailedError("the build's role gave no credentials")
        binaries = Path(sys.executable).parent
        return {
            **plain,
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.token or "",
            "AWS_DEFAULT_REGION": self._run.home_region,
            "AWS_REGION": self._run.home_region,
            "AWS_ENDPOINT_URL": self._embedded.endpoint,
            "CODEBUILD_INITIATOR": f"codepipeline/{self._run.definition['Name']}",
            "CODEBUILD_KMS_KEY_ID": self._project["EncryptionKey"],
            "CODEBUILD_SRC_DIR": str(self._run.work / "build"),
            "SAM_CLI_TELEMETRY": "0",
            "HOME": str(self._run.work),
            "LANG": "C.UTF-8",
            "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }

    def _invoke(self, action: Json) -> str:
        home = self._run.home_region
        given, taken = self._input(action, home), action["OutputArtifacts"][0]["Name"]
        store = self._stores[home]
        put = Artifact(store["Location"], self._new_key(taken), "")
        job = str(uuid.uuid4())
        self._jobs(job, "POST")
        event = self._job_event(job, action, given, put)
        answer = self._client(self._pipeline_role, "lambda", home).invoke(
            FunctionName=action["Configuration"]["FunctionName"], Payload=json.dumps(event)
        )
        said = answer["Payload"].read().decode(errors="replace")
        outcome = self._jobs(job)
        if outcome["status"] == "InProgress":
            why = json.loads(said).get("errorMessage", said) if "FunctionError" in answer else said
            raise ActionFailedError(f"the function ended without answering the job: {why}")
        if outcome["status"] == "Failed":
            raise ActionFailedError(f"{outcome['type']}: {outcome['message']}")
        head = self._client(self._pipeline_role, "s3", home).get_object(
            Bucket=put.bucket, Key=put.key, ExpectedBucketOwner=TOOLS
        )
        artifact = Artifact(put.bucket, put.key, head["VersionId"])
        names = zipfile.ZipFile(io.BytesIO(head["Body"].read())).namelist()
        self._run.artifacts[taken] = artifact
        return f"{sum(name.startswith('template-export-') for name in names)} templates"

    def _job_event(self, job: str, action: Json, given: Artifact, put: Artifact) -> Json:
        """The event of a Lambda action (AWS CodePipeline User Guide, "AWS Lambda invoke action
        reference"). Its credentials open these two objects and nothing else."""
        home = self._run.home_region
        key_arn = self._stores[home]["EncryptionKey"]["Id"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                    "Resource": f"arn:aws:s3:::{given.bucket}/{given.key}",
                },
                {
                    "Effect": "Allow",
                    "Action": "s3:PutObject",
                    "Resource": f"arn:aws:s3:::{put.bucket}/{put.key}",
                },
                {
                    "Effect": "Allow",
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                    "Resource": key_arn,
                },
            ],
        }
        credentials = self._session(self._pipeline_role, home, policy).get_credentials()
        if credentials is None:
            raise ActionFailedError("the pipeline's role gave no credentials")

        def located(artifact: Artifact, name: str) -> Json:
            where = {"bucketName": artifact.bucket, "objectKey": artifact.key}
            location = {"type": "S3", "s3Location": where}
            return {"name": name, "revision": None, "location": location}

        return {
            "CodePipeline.job": {
                "id": job,
                "accountId": TOOLS,
                "data": {
                    "actionConfiguration": {"configuration": action["Configuration"]},
                    "inputArtifacts": [located(given, action["InputArtifacts"][0]["Name"])],
                    "outputArtifacts": [located(put, action["OutputArtifacts"][0]["Name"])],
                    "artifactCredentials": {
                        "accessKeyId": credentials.access_key,
                        "secretAccessKey": credentials.secret_key,
                        "sessionToken": credentials.token,
                    },
                    "encryptionKey": {"id": key_arn, "type": "KMS"},
                },
            }
        }

    def _jobs(self, job: str, method: str = "GET") -> dict[str, str]:
        request = urllib.request.Request(  # noqa: S310  # the embedded AWS, on 127.0.0.1
            f"{self._embedded.endpoint}{JOBS_PATH}{job}", method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # nosec B310
            found: dict[str, str] = json.load(answer)
        return found

    def _approve(self, action: Json) -> str:
        if not self._run.approve(action, self._run.changes):
            raise ActionFailedError("not approved")
        return "approved"

    def _deploy(self, action: Json) -> str:
        region = action["Region"]
        cloudformation = self._client(action["RoleArn"], "cloudformation", region)
        configuration = action["Configuration"]
        where = (action["RoleArn"].split(":")[4], region)
        if configuration["ActionMode"] == "CHANGE_SET_EXECUTE":
            return self._execute(cloudformation, configuration, where)
        artifact, _, path = configuration["TemplatePath"].partition("::")
        there = self._input({"InputArtifacts": [{"Name": artifact}]}, region)
        body = self._client(action["RoleArn"], "s3", region).get_object(
            Bucket=there.bucket, Key=there.key, ExpectedBucketOwner=TOOLS
        )["Body"]
        with zipfile.ZipFile(io.BytesIO(body.read())) as packed:
            if path not in packed.namelist():
                raise ActionFailedError(f"{artifact} holds no {path}")
            template = packed.read(path).decode()
        changes = create_change_set(
            cloudformation, configuration, template, where, self._person(where)
        )
        self._run.changes[where] = changes
        return str(changes)

    def _person(self, where: tuple[str, str]) -> Any:
        """CloudFormation for whoever reads the reasons: the deploy role may not ask for all."""
        account, region = where
        return self._embedded.session(account, region).client("cloudformation")

    def _execute(self, cloudformation: Any, configuration: Json, where: tuple[str, str]) -> str:
        if not self._run.changes[where].lines:
            return "nothing to change"
        stack = configuration["StackName"]
        cloudformation.execute_change_set(
            StackName=stack, ChangeSetName=configuration["ChangeSetName"]
        )
        status = wait_for(
            lambda: cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"],
            lambda status: not status.endswith("_IN_PROGRESS"),
        )
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            reason = why_failed(cloudformation, stack, self._person(where))
            raise ActionFailedError(
                f"{stack} is {status}: {reason}", deletion(stack, status, where)
            )
        return str(status).lower().replace("_", " ")


# Change sets


def deletion(stack: str, status: str, where: tuple[str, str]) -> str:
    """The command that takes away a stack which can only be deleted, if it can only be deleted."""
    if status not in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
        return ""
    account, region = where
    command = f"sam delete --stack-name {stack} --region {region} --no-prompts"
    return f"AWS_ACCESS_KEY_ID={account} {command}"


def create_change_set(
    cloudformation: Any,
    configuration: Json,
    template: str,
    where: tuple[str, str],
    person: Any,
) -> Changes:
    """Replace the change set, wait for it, and return what it would do."""
    names = {
        "StackName": configuration["StackName"],
        "ChangeSetName": configuration["ChangeSetName"],
    }
    status = stack_status(cloudformation, names["StackName"])
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise ActionFailedError(f"stack {names['StackName']} is {status}")
    if status == "ROLLBACK_COMPLETE":
        raise ActionFailedError(
            f"stack {names['StackName']} is {status}: delete it first",
            deletion(names["StackName"], status, where),
        )
    if status:
        cloudformation.delete_change_set(**names)
    overrides = json.loads(configuration.get("ParameterOverrides", "{}"))
    cloudformation.create_change_set(
        **names,
        ChangeSetType="UPDATE" if status not in {"", "REVIEW_IN_PROGRESS"} else "CREATE",
        TemplateBody=template,
        RoleARN=configuration["RoleArn"],
        Capabilities=[name for name in configuration.get("Capabilities", "").split(",") if name],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in overrides.items()
        ],
    )
    found = wait_for(
        lambda: cloudformation.describe_change_set(**names),
        lambda found: found["Status"] in {"CREATE_COMPLETE", "FAILED"},
    )
    if found["Status"] == "FAILED":
        reason = found.get("StatusReason", "")
        if "didn't contain changes" in reason or "No updates are to be performed" in reason:
            return Changes()
        more = reported_events(person, **names) if "DescribeEvents" in reason else ()
        raise ActionFailedError(f"change set of {names['StackName']}: {'; '.join((reason, *more))}")
    each = [change["ResourceChange"] for change in found["Changes"]]
    actions = [change["Action"] for change in each]
    return Changes(
        actions.count("Add"),
        actions.count("Modify"),
        actions.count("Remove"),
        tuple(
            f"{change['Action']} {change['LogicalResourceId']} ({change['ResourceType']})"
            for change in each
        ),
    )


def stack_status(cloudformation: Any, name: str) -> str:
    try:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if "does not exist" in str(error):
            return ""
        raise


# What CloudFormation says of resources that it only stopped because another one failed.
CANCELLED = ("resource creation cancelled", "resource update cancelled")


def why_failed(cloudformation: Any, name: str, person: Any = None) -> str:
    """Each resource that failed in the stack's last operation, the first one first, with its
    reason; where that only points to DescribeEvents, with what `person` is told there."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    found: list[str] = []
    for event in events:  # newest first
        status, logical_id = event["ResourceStatus"], event["LogicalResourceId"]
        reason = event.get("ResourceStatusReason", status)
        own = event.get("PhysicalResourceId") == event.get("StackId")
        if status.endswith("_FAILED") and not own and not reason.lower().startswith(CANCELLED):
            found.append(f"{logical_id}: {reason}")
        if own and status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}:
            break
        if own and status.endswith("_FAILED") and reason != status:
            found.append(reason)
    reasons = list(dict.fromkeys(reversed(found)))
    if not reasons or any("DescribeEvents" in reason for reason in reasons):
        reasons += reported_events(person or cloudformation, StackName=name)
    return "; ".join(reasons) or "no reason given"


def reported_events(cloudformation: Any, **names: str) -> tuple[str, ...]:
    """What the failed events of an operation say: validations and hooks, too (AWS CloudFormation
    API Reference, "DescribeEvents"). Nothing where CloudFormation does not tell."""
    try:
        events = cloudformation.describe_events(**names, Filters={"FailedEvents": True})
    except (ClientError, BotoCoreError):
        return ()
    told = []
    for event in events.get("OperationEvents", ()):
        for kind in ("ValidationStatusReason", "HookStatusReason", "ResourceStatusReason"):
            if reason := event.get(kind):
                where = event.get("ValidationPath") or event.get("LogicalResourceId") or ""
                told.append(f"{where}: {reason}" if where else str(reason))
                break
    return tuple(dict.fromkeys(told))


Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], done: Callable[[Found], bool]) -> Found:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done(found := look()):
        if time.monotonic() > deadline:
            raise ActionFailedError(f"not done after {WAIT_SECONDS} s")
        time.sleep(LOOK_EVERY_SECONDS)
    return found


def stores_of(definition: Json, home_region: str) -> dict[str, Json]:
    """A pipeline's artifact stores by region; one of one region names its store alone."""
    if "ArtifactStore" in definition:
        return {home_region: definition["ArtifactStore"]}
    return {store["Region"]: store["ArtifactStore"] for store in definition["ArtifactStores"]}


# The build


def buildspec(given: str, folder: Path) -> Json:
    """The buildspec: the text itself, or the file of that name in the source."""
    title = shortened(given)
    if given.startswith("arn:"):
        raise ActionFailedError(f"buildspec {title} lies in S3, which a rehearsal does not read")
    try:
        spec = yaml.safe_load(given)
        if isinstance(spec, str):  # any one line without a colon
            spec = yaml.safe_load((folder / given).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ActionFailedError(f"buildspec {title}: {error}") from error
    if not isinstance(spec, dict) or not isinstance(spec.get("phases"), dict):
        raise ActionFailedError(f"buildspec {title} has no phases")
    return spec


def shortened(given: str) -> str:
    first = given.splitlines()[0]
    return first if len(first) <= SHOWN else f"{first[:SHOWN]} ..."


def looked_up(session: boto3.Session, kind: str, value: str) -> str:
    """An environment variable's value, read with the build's own role."""
    if kind == "PARAMETER_STORE":
        found = session.client("ssm").get_parameters(Names=[value], WithDecryption=True)
        if not found["Parameters"]:
            raise ActionFailedError(f"there is no parameter {value}")
        return str(found["Parameters"][0]["Value"])
    if kind == "SECRETS_MANAGER":
        length = 7 if value.startswith("arn:") else 1  # an ARN has colons of its own
        parts = value.split(":")
        key, stage, version = (*parts[length:], "", "", "")[:3]
        more = {"VersionStage": stage, "VersionId": version}
        answer = session.client("secretsmanager").get_secret_value(
            SecretId=":".join(parts[:length]), **{name: text for name, text in more.items() if text}
        )
        return str(json.loads(answer["SecretString"])[key]) if key else str(answer["SecretString"])
    return str(value)


def run_phases(
    spec: Json, folder: Path, environment: Mapping[str, str], log: Path, seconds: float
) -> None:
    """Run the buildspec's phases in one shell, as CodeBuild does from version 0.2 on: what one
    command exports, the next one sees. A phase's `finally` runs whatever its commands did, and
    its `on-failure` decides what comes next; without one, post_build still runs after a failed
    build (AWS CodeBuild User Guide, "Build specification reference" and "Build phase
    transitions")."""
    failed = log.with_suffix(".failed")
    failed.unlink(missing_ok=True)
    phases = [(phase, spec["phases"].get(phase) or {}) for phase in PHASES]
    script = log.with_suffix(".sh")
    lines = [f"trap 'env -0 > \"{log.with_suffix('.env')}\"' EXIT"]
    lines += shell_lines(phases, failed, log)
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shell = (spec.get("env") or {}).get("shell", "sh")
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [shell, str(script)],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ActionFailedError(f"the build took longer than {seconds / 60:.0f} min") from error
    if done.returncode:
        text = failed.read_text() if failed.exists() else "build 1 commands -1"
        phase, code, block, number = text.split()
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        commands = dict(phases)[phase].get(block) or ()
        command = str(commands[int(number)]) if int(number) >= 0 else ""
        last = said[-1].strip() if said else f"{shortened(command or 'it')} said nothing"
        hint = missing_arguments(command) if "AccessDenied" in " ".join(said[-20:]) else ""
        raise ActionFailedError(f"phase {phase} ended with {code}: {last}{hint} (all of it: {log})")


def shell_lines(phases: list[tuple[str, Json]], failed: Path, log: Path) -> Iterator[str]:
    """The shell script of the phases. `failed` is written by the first command that fails."""
    yield "export CODEBUILD_BUILD_SUCCEEDING=1"
    for phase, declared in phases:
        for block in ("commands", "finally"):
            yield f"{phase}_{block}() {{"
            for number, command in enumerate(declared.get(block) or ()):
                note = f"printf '%s %s %s %s' {phase} $code {block} {number} > '{failed}'"
                yield str(command)
                noted = f"[ -e '{failed}' ] || {note}"
                yield f"code=$?; if [ $code -ne 0 ]; then {noted}; return 1; fi"
            yield ":; }"
        yield f"{phase}() {{ {phase}_commands; bad=$?; {phase}_finally || bad=1; return $bad; }}"
    for phase, declared in phases:
        yield from _in_turn(phase, str(declared.get("on-failure", "")), failed, log)
    yield '[ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]'


def _in_turn(phase: str, on_failure: str, failed: Path, log: Path) -> Iterator[str]:
    """Run a phase, and go on as it says."""
    policy = ON_FAILURE.fullmatch(on_failure)
    if policy is None:
        raise ActionFailedError(
            f"phase {phase}: on-failure is {on_failure!r}; CodeBuild knows ABORT, CONTINUE, "
            "RETRY, RETRY-count, RETRY-regex and RETRY-count-regex"
        )
    attempt = phase
    if policy["retry"]:
        times, pattern = int(policy["count"] or 3), policy["regex"]
        again = f" && grep -Eq -- {shlex.quote(pattern)} '{log}'" if pattern else ""
        attempt = f"{phase}_tried"
        yield (
            f"{attempt}() {{ tries=0; while ! {phase}; do [ $tries -lt {times} ]{again} || "
            f"return 1; tries=$((tries + 1)); rm -f '{failed}'; done; }}"
        )
    if on_failure == "CONTINUE":
        yield f"{attempt} || rm -f '{failed}'"
    elif phase == "build" and not on_failure:
        yield f"{attempt} || export CODEBUILD_BUILD_SUCCEEDING=0"
    else:
        yield f"{attempt} || exit 1"


def missing_arguments(command: str) -> str:
    """What a command that writes to an artifact store lacks, where it is known: the store takes
    objects under its own key only, and a build's role writes below its project's name only."""
    bucket = re.search(r"S3_BUCKET_(\w+)", command)
    region = bucket[1] if bucket else "REGION"
    if re.search(r"\b(sam (package|deploy)|cloudformation package)\b", command):
        wanted = {
            "--kms-key-id": f'--kms-key-id "$KMS_KEY_{region}"',
            "--s3-prefix": '--s3-prefix "$PROJECT_ID/builds"',
        }
    elif re.search(r"\bs3 (cp|sync|mv)\b", command):
        wanted = {"--sse-kms-key-id": f'--sse aws:kms --sse-kms-key-id "$KMS_KEY_{region}"'}
    else:
        return ""
    lacking = [text for option, text in wanted.items() if option not in command]
    if not lacking:
        return ""
    return (
        f"; the artifact store takes what is written under its own key and below the project's "
        f"name: add {' '.join(lacking)}"
    )


def source_variables(action: Json, body: bytes, version: str) -> dict[str, str]:
    """What the source's action gives. A folder has no commit: the digest of its zip stands for it,
    and a word for what only the source's host knows."""
    configuration = action["Configuration"]
    digest = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    given = {
        "AuthorDate": now,
        "BranchName": configuration.get("BranchName", configuration.get("Branch", "")),
        "BucketName": configuration.get("S3Bucket", ""),
        "CommitId": digest,
        "CommitterDate": now,
        "ConnectionArn": configuration.get("ConnectionArn", ""),
        "ETag": digest[:32],
        "FullRepositoryName": configuration.get("FullRepositoryId", ""),
        "ObjectKey": configuration.get("S3ObjectKey", ""),
        "RepositoryName": configuration.get("RepositoryName", configuration.get("Repo", "")),
        "VersionId": version,
    }
    of_the_host = ("AuthorDisplayName", "AuthorEmail", "AuthorId", "CommitMessage", "CommitUrl")
    return {**dict.fromkeys((*of_the_host, "ProviderType"), "rehearsal"), **given}


def exported_variables(spec: Json, log: Path) -> dict[str, str]:
    """What the buildspec exports, as its shell had it at the end."""
    names = (spec.get("env") or {}).get("exported-variables") or []
    pairs = (
        line.partition("=")
        for line in log.with_suffix(".env").read_text(errors="replace").split("\0")
    )
    values = {name: value for name, _, value in pairs}
    return {name: values.get(name, "") for name in names}


def built_artifact(spec: Json, folder: Path) -> tuple[bytes, int]:
    """The build's output artifact as a zip, and how many files are in it."""
    declared = spec.get("artifacts") or {}
    base = folder / str(declared.get("base-directory", ""))
    patterns = declared.get("files") or []
    excluded = matching(base, declared.get("exclude-paths") or [])
    files = [path for path in matching(base, patterns) if path not in excluded]
    if not files:
        raise ActionFailedError(f"artifacts: no file matches {', '.join(patterns) or 'nothing'}")
    return zip_of(base, files), len(files)


def matching(base: Path, patterns: list[str]) -> dict[Path, None]:
    """The files below the folder that match any of the patterns, each once."""
    return {
        path.relative_to(base): None
        for pattern in patterns
        for path in sorted(base.glob(pattern))
        if path.is_file()
    }


# Files


def source_files(folder: Path) -> Iterator[Path]:
    """The project's files: those that git would commit, or all where there is no git."""
    listed = subprocess.run(
        ["git", "-C", str(folder), "ls-files", "-coz", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        for name in listed.stdout.rstrip("\0").split("\0"):
            if (folder / name).is_file():
                yield Path(name)
        return
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and not {".git", ".aws-sam"} & set(relative.parts):
            yield relative


def zip_of(folder: Path, files: Any) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for relative in files:
            archive.write(folder / relative, relative.as_posix())
    return packed.getvalue()


def unzip(body: bytes, folder: Path) -> None:
    """Unpack an artifact of our own making, with its files' modes."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for member in archive.infolist():
            path = Path(archive.extract(member, folder))
            if mode := member.external_attr >> 16:
                path.chmod(mode & 0o777)
