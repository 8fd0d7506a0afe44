"""What each action of a pipeline does, played on the embedded AWS with the pipeline's own roles.

Source, CodeBuild, the Lambda job and CloudFormation's change sets are the real things where the
embedded AWS has them; CodePipeline and CodeBuild themselves, which it has not, are played here.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from foothold.releases.gateways.stacks import why_failed
from foothold.releases.model import (
    PIPELINE_VARIABLE,
)
from local.aws.embedded import TOOLS, Embedded
from local.rehearsal.buildspec import (
    buildspec,
    built_artifact,
    exported_variables,
    looked_up,
    run_phases,
    zip_of,
)
from local.rehearsal.execution import ActionFailedError, Artifact, Execution, Json
from local.rehearsal.stacks import (
    SUCCEEDED,
    WAIT_SECONDS,
    Wanted,
    create_change_set,
    deletion,
    ended,
)

JOBS_PATH = "/_rehearsal/jobs/"
EXECUTIONS_PATH = "/_rehearsal/executions/"
# AWS CodeBuild User Guide, "Running builds on AWS Lambda compute".
LAMBDA_MINUTES = 15
# Until a function that goes on is invoked again; CodePipeline takes longer.
GO_ON_SECONDS = 1.0
PATIENT = Config(read_timeout=WAIT_SECONDS, retries={"total_max_attempts": 1})


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
                    return self._approve(asked, action["Configuration"])
                case "CloudFormation":
                    return self._deploy(action)
                case _:
                    return self._source(action)
        except (ClientError, BotoCoreError) as error:
            raise ActionFailedError(str(error)) from error

    def enters(self, stage: Json) -> bool:
        """Whether a stage's own conditions let the execution in, or have it skip the stage (AWS
        CodePipeline User Guide, "How do stage conditions work?"). Raises ActionFailedError."""
        for condition in stage.get("BeforeEntry", {}).get("Conditions", ()):
            for rule in condition["Rules"]:
                asked = self._filled(rule)["Configuration"]
                played = rule["RuleTypeId"]["Provider"], asked["Operator"], condition["Result"]
                if played != ("VariableCheck", "EQ", "SKIP"):
                    raise ActionFailedError(f"no rehearsal plays the condition {', '.join(played)}")
                if asked["Variable"] != asked["Value"]:
                    return False
        return True

    def _filled(self, action: Json) -> Json:
        """The action, or a condition's rule, with what its pipeline variables stand for. Raises
        ActionFailedError for one that no earlier action gave, which CodePipeline does not pass on
        either."""
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
        name = self._run.definition["Name"]
        assumed = sts.assume_role(RoleArn=role_arn, RoleSessionName=name, **more)
        return self._embedded.assumed_session(assumed, region)

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
        version = self._run.artifacts[name].version
        self._gave(action, source_variables(action, body, version))
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
        self._gave(action, exported_variables(spec, log))
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
        credentials: Any = session.get_credentials()
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
        """Invoke the function with a job, and again for as long as its answer carries a
        continuation token (AWS CodePipeline User Guide, "AWS Lambda invoke action reference")."""
        home = self._run.home_region
        given = {
            each["Name"]: self._input({"InputArtifacts": [each]}, home)
            for each in action.get("InputArtifacts", ())
        }
        bucket = self._stores[home]["Location"]
        taken = {
            each["Name"]: Artifact(bucket, self._new_key(each["Name"]), "")
            for each in action.get("OutputArtifacts", ())
        }
        data = self._job_data(action, given, taken)
        deadline = time.monotonic() + WAIT_SECONDS
        while token := (outcome := self._job_done(action, data)).get("continuationToken"):
            if time.monotonic() > deadline:
                raise ActionFailedError(f"not done after {WAIT_SECONDS} s")
            data["continuationToken"] = token
            time.sleep(GO_ON_SECONDS)
        variables = outcome.get("outputVariables", {})
        self._gave(action, variables)
        notes = [self._taken(name, artifact) for name, artifact in taken.items()]
        return " ".join(notes) or str(variables.get("summary", "done"))

    def _job_done(self, action: Json, data: Json) -> Json:
        """The outcome of one job. Raises ActionFailedError."""
        job = str(uuid.uuid4())
        self._jobs(job, "POST")
        answer = self._client(self._pipeline_role, "lambda", self._run.home_region).invoke(
            FunctionName=action["Configuration"]["FunctionName"],
            Payload=json.dumps({"CodePipeline.job": {"id": job, "accountId": TOOLS, "data": data}}),
        )
        said = answer["Payload"].read().decode(errors="replace")
        outcome = self._jobs(job)
        if outcome["status"] == "InProgress":
            why = json.loads(said).get("errorMessage", said) if "FunctionError" in answer else said
            raise ActionFailedError(f"the function ended without answering the job: {why}")
        if outcome["status"] == "Failed":
            raise ActionFailedError(f"{outcome['type']}: {outcome['message']}")
        return outcome

    def _taken(self, name: str, put: Artifact) -> str:
        """Take over what the function left as an artifact."""
        head = self._client(self._pipeline_role, "s3", self._run.home_region).get_object(
            Bucket=put.bucket, Key=put.key, ExpectedBucketOwner=TOOLS
        )
        self._run.artifacts[name] = Artifact(put.bucket, put.key, head["VersionId"])
        names = zipfile.ZipFile(io.BytesIO(head["Body"].read())).namelist()
        return f"{sum(name.startswith('template-export-') for name in names)} templates"

    def _job_data(
        self, action: Json, given: Mapping[str, Artifact], taken: Mapping[str, Artifact]
    ) -> Json:
        """What a job tells (the same reference). Its credentials open these artifacts and nothing
        else."""
        home = self._run.home_region
        key_arn = self._stores[home]["EncryptionKey"]["Id"]
        reads, writes = ["s3:GetObject", "s3:GetObjectVersion"], ["s3:PutObject"]
        may = {
            **{f"arn:aws:s3:::{each.bucket}/{each.key}": reads for each in given.values()},
            **{f"arn:aws:s3:::{each.bucket}/{each.key}": writes for each in taken.values()},
            key_arn: ["kms:Decrypt", "kms:GenerateDataKey*"],
        }
        statements = [
            {"Effect": "Allow", "Action": actions, "Resource": arn} for arn, actions in may.items()
        ]
        policy = {"Version": "2012-10-17", "Statement": statements}
        credentials: Any = self._session(self._pipeline_role, home, policy).get_credentials()

        def located(name: str, artifact: Artifact) -> Json:
            where = {"bucketName": artifact.bucket, "objectKey": artifact.key}
            location = {"type": "S3", "s3Location": where}
            return {"name": name, "revision": None, "location": location}

        return {
            "actionConfiguration": {"configuration": action["Configuration"]},
            "inputArtifacts": [located(*each) for each in given.items()],
            "outputArtifacts": [located(*each) for each in taken.items()],
            "artifactCredentials": {
                "accessKeyId": credentials.access_key,
                "secretAccessKey": credentials.secret_key,
                "sessionToken": credentials.token,
            },
            "encryptionKey": {"id": key_arn, "type": "KMS"},
        }

    def _gave(self, action: Json, variables: Mapping[str, str]) -> None:
        """Keep the variables that an action gave, for later actions and for whoever asks
        CodePipeline what the execution has found out (AWS CodePipeline API Reference,
        "ListActionExecutions")."""
        namespace = action.get("Namespace")
        if not namespace:
            return
        self._run.variables[namespace] = dict(variables)
        kind = action["ActionTypeId"]
        self._note(
            {
                "pipelineExecutionId": self._run.id,
                "actionName": action["Name"],
                "status": "Succeeded",
                "input": {
                    "actionTypeId": {name.lower(): kind[name] for name in kind},
                    "namespace": namespace,
                },
                "output": {"outputVariables": dict(variables)},
            }
        )

    def _note(self, detail: Json) -> None:
        """Have the embedded CodePipeline list an action's execution."""
        self._ask(f"{EXECUTIONS_PATH}{self._run.definition['Name']}", "POST", detail)

    def _jobs(self, job: str, method: str = "GET") -> Json:
        return self._ask(f"{JOBS_PATH}{job}", method)

    def _ask(self, path: str, method: str, body: Json | None = None) -> Json:
        request = urllib.request.Request(  # noqa: S310  # the embedded AWS, on 127.0.0.1
            f"{self._embedded.endpoint}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # nosec B310
            found: Json = json.load(answer)
        return found

    def _approve(self, action: Json, told: Mapping[str, str]) -> str:
        """`told` is the action's configuration with what its variables stand for."""
        if not self._run.approve(action, self._run.changes, told):
            raise ActionFailedError("not approved")
        return f"approved: {told['CustomData']}"

    def _deploy(self, action: Json) -> str:
        region = action["Region"]
        cloudformation = self._client(action["RoleArn"], "cloudformation", region)
        configuration = action["Configuration"]
        where = (action["RoleArn"].split(":")[4], region)
        if configuration["ActionMode"] == "CHANGE_SET_EXECUTE":
            return self._execute(cloudformation, configuration, where)
        template = self._file(action, configuration["TemplatePath"])
        given = json.loads(configuration.get("ParameterOverrides", "{}"))
        tags = {}
        if path := configuration.get("TemplateConfiguration"):
            configured = json.loads(self._file(action, path))
            given = {**configured.get("Parameters", {}), **given}
            tags = configured.get("Tags", {})
        wanted = Wanted(template, configuration, given, tags)
        changes = create_change_set(cloudformation, wanted, where, self._person(where))
        self._run.changes[*where, configuration["StackName"]] = changes
        return str(changes)

    def _file(self, action: Json, place: str) -> str:
        """A file of an artifact, which is named `Artifact::path`, as the action's role reads it."""
        artifact, _, path = place.partition("::")
        there = self._input({"InputArtifacts": [{"Name": artifact}]}, action["Region"])
        body = self._client(action["RoleArn"], "s3", action["Region"]).get_object(
            Bucket=there.bucket, Key=there.key, ExpectedBucketOwner=TOOLS
        )["Body"]
        with zipfile.ZipFile(io.BytesIO(body.read())) as packed:
            if path not in packed.namelist():
                raise ActionFailedError(f"{artifact} holds no {path}")
            return packed.read(path).decode()

    def _person(self, where: tuple[str, str]) -> Any:
        """CloudFormation for whoever reads the reasons: the deploy role may not ask for all."""
        account, region = where
        return self._embedded.session(account, region).client("cloudformation")

    def _execute(self, cloudformation: Any, configuration: Json, where: tuple[str, str]) -> str:
        stack = configuration["StackName"]
        if not self._run.changes[*where, stack].lines:
            return "nothing to change"
        cloudformation.execute_change_set(
            StackName=stack, ChangeSetName=configuration["ChangeSetName"]
        )
        status = ended(cloudformation, stack)
        if status not in SUCCEEDED:
            reason = why_failed(cloudformation, stack, self._person(where))
            raise ActionFailedError(
                f"{stack} is {status}: {reason}", deletion(stack, status, where)
            )
        return status.lower().replace("_", " ")


def stores_of(definition: Json, home_region: str) -> dict[str, Json]:
    """A pipeline's artifact stores by region; one of one region names its store alone."""
    if "ArtifactStore" in definition:
        return {home_region: definition["ArtifactStore"]}
    return {store["Region"]: store["ArtifactStore"] for store in definition["ArtifactStores"]}


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


def unzip(body: bytes, folder: Path) -> None:
    """Unpack an artifact of our own making, with its files' modes."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for member in archive.infolist():
            path = Path(archive.extract(member, folder))
            if mode := member.external_attr >> 16:
                path.chmod(mode & 0o777)
