"""A live account kept in memory: the control plane's own services behind it, and an operator
in front of them. What S3, CloudFormation and CodePipeline would answer is a few lines each."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from foothold.acceptance.run import Acceptance, AcceptanceRequest, Operator
from foothold.acceptance.table import Answer, Encryption, Reply, Run, StackSeen
from foothold.errors import FootholdError, NotReachedError, PermanentError, raise_refusal, refusal
from foothold.stores.custom_resource.request import Claim
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.operator.messages import parse_command
from foothold.stores.operator.regions import OperatorRegions
from foothold.stores.register import ArtifactStore, Names
from foothold.stores.trust import PublishedStores, Trust, read_where_deployed
from tests.stores.accounts import REGION, Account, made_once
from tests.stores.worlds import ACCOUNT, HOME

ANOTHER_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/another"
STATE = "/foothold/acceptance/run"
ROOT = "/foothold"
NAMES = Names(ROOT)
ID = "0a1b2c3d"
# What a role of Foothold's own was refused: no reason to say that the caller lacks a right.
REFUSED = (
    "User: role is not authorized to perform: kms:CreateKey on resource: * because no "
    "identity-based policy allows the kms:CreateKey action"
)


@made_once
def deployed() -> Account:
    """The account in which the control plane was deployed, with its own store."""
    account = Account()
    account.cloud.add_parameter(HOME, f"{ROOT}/service-token", "arn:aws:lambda:...")
    account.cloud.add_parameter(HOME, f"{ROOT}/package-function", "package")
    account.store(HOME)
    account.claims.ensure([HOME], _claim("foothold"))
    return account


@dataclass
class Live:
    """`acceptance.run.LiveAccount`, `Requests`, `ControlPlaneFunction` and a clock.

    `broken` names what is wrong with this account, a word for each row; `before` is called with
    the name of every call that the operator is about to make, and may raise.
    """

    account_: Account = field(default_factory=deployed)
    broken: frozenset[str] = frozenset()
    stacks: dict[str, str] = field(default_factory=dict)
    objects: dict[tuple[str, str], str | None] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    pipelines: dict[str, Any] = field(default_factory=dict)
    lacking: str = ""
    has_pipelines: bool = True
    made: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    before: Callable[[str], None] = lambda _call: None
    inside: int = 0

    def __post_init__(self) -> None:
        self.account_.watch(self._outside)

    # --- Who is at work

    def _outside(self, call: str) -> None:
        if not self.inside:
            self.call(call)

    def call(self, name: str) -> None:
        self.made.append(name)
        if name == self.lacking:
            raise PermanentError(
                f"cannot do it: AccessDenied: User: x is not authorized to perform: {name} on "
                "resource: * because no identity-based policy allows the action"
            )
        self.before(name)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The control plane's work, which no operator's interruption stops."""
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    # --- The clock

    def clock(self) -> float:
        return self.account_.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.account_.now += seconds

    # --- The ways to ask

    def request(self, regions: Sequence[str]) -> None:
        self.call("events:PutEvents")
        if "ask-by-event" not in self.broken:
            with self.at_work():
                self.account_.reconciler.reconcile(regions)

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            self.call("lambda:InvokeFunction")
        except PermanentError as error:
            raise NotReachedError(str(error)) from error
        account = self.account_
        with self.at_work():
            if "retire" in self.broken:
                raise PermanentError(f"cannot schedule the deletion: AccessDenied: {REFUSED}")
            if "ask-by-list" in self.broken and command["command"] == "add":
                raise PermanentError(REFUSED)
            try:
                answer = account.commands().answer(parse_command(command))
            except FootholdError as error:
                answer = refusal(error)
        raise_refusal(answer)
        return answer

    # --- The account

    @property
    def calls(self) -> int:
        return len(self.made)

    def account(self) -> str:
        return ACCOUNT

    def remember(self, name: str, run: Run) -> bool:
        self.call("ssm:PutParameter")
        if (HOME, name) in self.account_.cloud.parameters:
            return False
        self.account_.cloud.add_parameter(HOME, name, run.text)
        return True

    def create_stack(
        self, name: str, template: Mapping[str, Any], run: Run, role: str | None = None
    ) -> None:
        self.call("cloudformation:CreateStack")
        resources = template["Resources"]
        if "Store" in resources:
            self._create_store(name, resources["Store"]["Properties"]["Region"])
            return
        if not self.has_pipelines:
            raise PermanentError(f"Template format error: Unrecognized resource types: [{role}]")
        self.stacks[name] = "CREATE_FAILED" if "pipeline" in self.broken else "CREATE_COMPLETE"
        self.pipelines[run.name] = resources["Pipeline"]["Properties"]

    def _create_store(self, name: str, region: str) -> None:
        if "ask-by-stack" in self.broken:
            self.stacks[name] = "CREATE_FAILED"
            return
        self.stacks[name] = "CREATE_COMPLETE"
        with self.at_work():
            self.account_.claims.ensure([region], _claim(name))

    def stack(self, name: str) -> StackSeen | None:
        self.call("cloudformation:DescribeStacks")
        status = self.stacks.get(name)
        failed = status == "CREATE_FAILED"
        return StackSeen(status, REFUSED if failed else "") if status else None

    def delete_stack(self, name: str) -> None:
        self.call("cloudformation:DeleteStack")
        if self.stacks.pop(name, None) and not name.endswith("-pipeline"):
            with self.at_work():
                self.account_.claims.release(_claim(name))
        self.pipelines.pop(name.removeprefix("foothold-").removesuffix("-pipeline"), None)

    def put(
        self, store: ArtifactStore, key: str, encryption: Encryption, body: bytes = b"x"
    ) -> Answer:
        self.call("s3:PutObject")
        row = key.rpartition("/")[2]
        right = Encryption("aws:kms", store.key_arn)
        allowed = encryption in (right, Encryption())
        if (row in self.broken) == allowed:
            return Answer(Reply.REFUSED, "AccessDenied")
        named = encryption.key or store.key_arn
        self.objects[store.bucket, key] = named
        return Answer(Reply.DONE, key_arn=None if encryption.own_key else named)

    def put_in_parts(self, store: ArtifactStore, key: str, encryption: Encryption) -> Answer:
        return self.put(store, key, encryption)

    def _read(self, row: str, *, allowed: bool) -> Answer:
        self.call("s3:GetObject")
        if (row in self.broken) == allowed:
            return Answer(Reply.REFUSED, "AccessDenied")
        return Answer(Reply.DONE)

    def read(self, store: ArtifactStore, key: str) -> Answer:
        return self._read("read-owner", allowed=True)

    def read_over_plain_http(self, store: ArtifactStore, key: str) -> Answer:
        return self._read("read-plain-http", allowed=False)

    def read_as_deploy_role(self, store: ArtifactStore, key: str) -> Answer:
        return self._read("read-deploy-role", allowed=True)

    def read_as_another_role(self, store: ArtifactStore, key: str) -> Answer:
        return self._read("read-other-role", allowed=False)

    def delete_objects(self, region: str, bucket: str, prefix: str) -> None:
        self.call("s3:DeleteObject")
        for found in [one for one in self.objects if one[0] == bucket and prefix in one[1]]:
            del self.objects[found]

    def another_key(self, region: str) -> str:
        self.call("kms:DescribeKey")
        return ANOTHER_KEY

    def create_alias(self, region: str, name: str, key_arn: str) -> None:
        self.call("kms:CreateAlias")
        self.aliases[name] = key_arn

    def aliased(self, region: str, name: str) -> str | None:
        self.call("kms:DescribeKey")
        return None if "delay-alias" in self.broken else self.aliases.get(name)

    def delete_alias(self, region: str, name: str) -> None:
        self.call("kms:DeleteAlias")
        self.aliases.pop(name, None)

    def tagged_keys(self, region: str) -> Collection[str]:
        self.call("tag:GetResources")
        return () if "delay-tag" in self.broken else tuple(self.account_.cloud.keys)

    def invoke(self, function: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        self.call("lambda:InvokeFunction")
        failed = {REGION: f"AccessDenied: {REFUSED}"} if "package" in self.broken else {}
        return {"failed": failed, "summary": "1 region, 1 object"}

    def pipeline(self, name: str) -> Mapping[str, Any]:
        self.call("codepipeline:GetPipeline")
        properties = self.pipelines[name]
        stores = {
            each["Region"]: {
                "location": each["ArtifactStore"]["Location"],
                "encryptionKey": {"id": each["ArtifactStore"]["EncryptionKey"]["Id"]},
            }
            for each in properties["ArtifactStores"]
        }
        return {
            "artifactStores": stores,
            "stages": [{"name": stage["Name"]} for stage in properties["Stages"]],
        }

    def start_pipeline(self, name: str, before: str) -> None:
        self.call("codepipeline:StartPipelineExecution")
        self.pipelines[name] = {**self.pipelines[name], "closed": before}

    def stages(self, name: str) -> Mapping[str, str]:
        self.call("codepipeline:GetPipelineState")
        build = "Failed" if "pipeline-run" in self.broken else "Succeeded"
        return {"Source": "Succeeded", "Build": build, "Package": "Succeeded"}

    # --- For the tests

    def acceptance(self) -> Acceptance:
        parameters = ListedParameters(self)
        regions = AccountRegions(self.account_.clients)
        buckets = self.account_.store_buckets
        stores = PublishedStores(
            partial(read_where_deployed, parameters, HOME, NAMES),
            Trust(HOME, buckets, lambda: ACCOUNT),
        )
        return Acceptance(
            Operator(
                self,
                OperatorRegions(HOME, stores, parameters, regions, self),
                self,
                parameters,
                regions,
                self,
                home_region=HOME,
                names=NAMES,
                clock=self.clock,
                sleep=self.sleep,
                new_id=lambda: ID,
            )
        )

    def run(self, *, run_pipeline: bool = False, without: Collection[str] = ()) -> Any:
        """The report of a run in REGION."""
        request = AcceptanceRequest(REGION, run_pipeline, frozenset(without))
        return self.acceptance().run(request, lambda _line: None)

    def left_behind(self) -> list[str]:
        """What a run has made and not taken away."""
        parameters = self.account_.cloud.parameters
        stores = f"{ROOT}/artifact-stores/{REGION}/"
        found = [name for _, name in parameters if name.startswith((STATE, f"{ROOT}/claims/"))]
        found += [name for _, name in parameters if name.startswith(f"{stores}bucket")]
        return [
            *(name for name in found if f"/{HOME}/" not in name),
            *(value for name, (value, _) in parameters.items() if name[1] == f"{ROOT}/regions"),
            *self.stacks,
            *self.aliases,
            *self.pipelines,
            *(name for name in self.account_.cloud.buckets if REGION in name),
            *(key for bucket, key in self.objects if bucket in self.account_.cloud.buckets),
        ]


class ListedParameters(SsmParameters):
    """Parameters of an account whose Parameter Store tells of a changed list."""

    def __init__(self, live: Live) -> None:
        super().__init__(live.account_.clients)
        self._live = live

    def put_list(self, region: str, name: str, values: tuple[str, ...]) -> None:
        super().put_list(region, name, values)
        if "ask-by-list-alone" not in self._live.broken:
            with self._live.at_work():
                self._live.account_.reconciler.reconcile(values)


def _claim(stack: str) -> Claim:
    arn = f"arn:aws:cloudformation:{HOME}:{ACCOUNT}:stack/{stack}/{'0' * 8}"
    return Claim.of(arn, "Store")
