"""The acceptance run: a store made in a live account as its users make one, every claim of
`acceptance.table` asked with a real request, and everything taken away again.

The run is remembered by one parameter, written before anything is made and deleted last. All that
it makes is named after the run, so that whoever comes next, after whatever interruption, can take
away the rest: to take away what is not there is no error.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol
from zipfile import ZipFile

from foothold.acceptance.table import (
    ALIAS_SECONDS,
    BY_NAME,
    CALLS_FOR_ROWS,
    CLAIMS,
    EVENT_SECONDS,
    MOST_CALLS,
    RUN_SECONDS,
    STORE_SECONDS,
    TAG_SECONDS,
    Answer,
    ClaimVerdict,
    Encryption,
    Finding,
    Reply,
    Report,
    Run,
    StackSeen,
    answer_to,
    judge,
    smallest_pipeline,
    source_key,
)
from foothold.errors import (
    BusyError,
    FootholdError,
    NotReachedError,
    PermanentError,
    TemporaryError,
)
from foothold.partitions import partition_of
from foothold.pipelines.declaration import RESOURCE_TYPE, DeclarationError
from foothold.pipelines.macro import expand_template
from foothold.stores.operator.regions import OperatorRegions
from foothold.stores.ports import USABLE, ControlPlaneFunction, Parameters, Regions, Requests
from foothold.stores.register import ArtifactStore, Names, Phase, Register, WantedBy

CLEAN_UP = "`foothold accept --clean-up`"
THERE_BEFORE = "the store was there before, and stays as it is"
PIPELINES_ROLE = "foothold-pipelines"  # pipelines/tools-account.yaml
FIRST_LOOK_SECONDS = 1.0
RETIRE_SECONDS = 20.0

# A row that shows nothing unless another one holds: a refusal, say, while nothing is allowed.
NEEDED = {
    "ask-by-list-alone": "ask-by-list",
    "write-part-other-key": "write-part",
    "read-plain-http": "read-owner",
    "pipeline-run": "pipeline",
    **dict.fromkeys(
        (
            "write-other-key",
            "write-key-by-id",
            "write-unnamed-key",
            "write-aes256",
            "write-own-key",
            "read-owner",
            "read-deploy-role",
            "read-other-role",
        ),
        "write-right-key",
    ),
}
IN_PARTS = frozenset({"write-part", "write-part-default", "write-part-other-key"})

PACKAGED = {
    "template.yaml": """\
Resources:
  Code:
    Type: AWS::Lambda::Function
    Properties: {Code: code, Handler: app.handler, Role: none, Runtime: python3.13}
""",
    "code/app.py": "handler = None\n",
}
BUILT = {"template.yaml": "Resources: {Topic: {Type: AWS::SNS::Topic}}\n"}


class LiveAccount(Protocol):
    """The account that Foothold is deployed in, asked as its operator. Stacks, pipelines and
    functions are those of the home region. What returns no Answer raises TemporaryError or
    PermanentError."""

    @property
    def calls(self) -> int:
        """How many requests have been sent to AWS."""
        ...

    def account(self) -> str: ...

    def remember(self, name: str, run: Run) -> bool:
        """Write the parameter, with the run's tag; False where it stands already."""
        ...

    def create_stack(
        self, name: str, template: Mapping[str, Any], run: Run, role: str | None = None
    ) -> None:
        """Begin to create a stack with the run's tag, as the role of this name."""
        ...

    def stack(self, name: str) -> StackSeen | None: ...

    def delete_stack(self, name: str) -> None: ...

    def put(
        self, store: ArtifactStore, key: str, encryption: Encryption, body: bytes = b"x"
    ) -> Answer: ...

    def put_in_parts(self, store: ArtifactStore, key: str, encryption: Encryption) -> Answer: ...

    def read(self, store: ArtifactStore, key: str) -> Answer: ...

    def read_over_plain_http(self, store: ArtifactStore, key: str) -> Answer: ...

    def read_as_deploy_role(self, store: ArtifactStore, key: str) -> Answer: ...

    def read_as_another_role(self, store: ArtifactStore, key: str) -> Answer: ...

    def delete_objects(self, region: str, bucket: str, prefix: str) -> None:
        """Delete all versions of all objects that begin with the prefix, and all uploads."""
        ...

    def another_key(self, region: str) -> str:
        """The ARN of a key of this account and region that is not Foothold's."""
        ...

    def create_alias(self, region: str, name: str, key_arn: str) -> None: ...

    def aliased(self, region: str, name: str) -> str | None:
        """The ARN of the key that the alias leads to."""
        ...

    def delete_alias(self, region: str, name: str) -> None: ...

    def tagged_keys(self, region: str) -> Collection[str]:
        """The ARNs of the keys that are found by the tag that names the region they serve."""
        ...

    def invoke(self, function: str, payload: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def pipeline(self, name: str) -> Mapping[str, Any]:
        """The pipeline's definition, as GetPipeline has it."""
        ...

    def start_pipeline(self, name: str, before: str) -> None:
        """Start it, having closed the way into the stage `before`."""
        ...

    def stages(self, name: str) -> Mapping[str, str]:
        """The status of each stage's latest execution."""
        ...


Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator has at hand: the account, the ways to ask, and a clock, in seconds since
    the epoch. `new_id` gives the next run's id: eight hexadecimal digits."""

    live: LiveAccount
    kept: OperatorRegions
    function: ControlPlaneFunction
    parameters: Parameters
    regions: Regions
    requests: Requests
    home_region: str
    names: Names
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    new_id: Callable[[], str]

    def store(self, region: str) -> ArtifactStore | None:
        """The store that the region's own parameters name; None unless those at home stand, too."""
        names = self.names.publishing(self.names.own_store)
        found = self.parameters.get(region, names)
        home = self.names.publishing(self.names.store(region))
        if set(names) <= set(found) and set(home) <= set(
            self.parameters.get(self.home_region, home)
        ):
            return ArtifactStore(region, *(found[name] for name in names))
        return None


def _until(is_interrupted: Callable[[], bool]) -> Iterator[str]:
    """The rows that are asked, in their order. Raises KeyboardInterrupt."""
    for claim in CLAIMS:
        if is_interrupted():
            raise KeyboardInterrupt
        if claim.name != "retire":
            yield claim.name


@dataclass(frozen=True, slots=True)
class AcceptanceRequest:
    """What is asked for. `without` names the rows that are left out; `run_pipeline` says whether
    the pipeline is started, which costs a build."""

    region: str
    run_pipeline: bool = False
    without: frozenset[str] = frozenset()


class Acceptance:
    """The acceptance runs of one control plane, one at a time."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._state = operator.names.acceptance_run

    def run(
        self,
        request: AcceptanceRequest,
        say: Say,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Ask everything, take everything away, and report. Before each row `is_interrupted` is
        asked whether somebody has interrupted the run.

        Raises PermanentError, before anything is made, where the region cannot be used (it has a
        store that somebody wants, is being retired, is not enabled, or is no region), where
        Foothold is not deployed, or where another run has not ended. An interruption goes on, with
        words for a person, once everything is taken away.
        """
        run = self._begin(request)
        rows = _Rows(self._operator, run, request, say)
        try:
            findings = [rows.finding(name) for name in _until(is_interrupted)]
        except KeyboardInterrupt:
            say(f"interrupted: everything is taken away; interrupted again, {CLEAN_UP} does it")
            _, left = self._take_away(run, say)
            raise KeyboardInterrupt(_interrupted(left)) from None
        except Exception:
            self._take_away(run, say)
            raise
        retired, left = self._take_away(run, say)
        return Report(
            run,
            self._operator.home_region,
            self._operator.live.account(),
            (*findings, retired),
            self._operator.live.calls,
            left,
        )

    def clean_up(self, say: Say) -> tuple[str, ...] | None:
        """Take away what an interrupted run has left; return a line for each thing that is left
        still, or None where there was no run."""
        text = self._remembered()
        if text is None:
            return None
        _, left = self._take_away(Run.parse(self._state, text), say)
        return left

    def _remembered(self) -> str | None:
        home = self._operator.home_region
        return self._operator.parameters.get(home, (self._state,)).get(self._state)

    def _begin(self, request: AcceptanceRequest) -> Run:
        region, operator = request.region, self._operator
        partition_of(region)
        if text := self._remembered():
            before = Run.parse(self._state, text)
            raise PermanentError(
                f"an acceptance run in {before.region}, begun {before.began}, has not ended: wait "
                f"for it, or finish it with {CLEAN_UP}"
            )
        fresh = self._is_free(region)
        home = operator.store(operator.home_region) if request.run_pipeline else None
        run = Run(
            operator.new_id(), region, fresh, int(operator.clock()), home.bucket if home else None
        )
        if not operator.live.remember(self._state, run):
            raise PermanentError("another acceptance run began at this moment: wait for it")
        return run

    def _is_free(self, region: str) -> bool:
        """Whether nothing is published of the region: only then the store that a run finds there
        is its own. Raises PermanentError where the region cannot be used."""
        operator = self._operator
        names = operator.names
        register = Register(names, operator.parameters.below(operator.home_region, names.root))
        if by := wanted_by(register, region):
            raise PermanentError(
                f"{region} is in use already (wanted by {', '.join(by)}): choose a region that "
                "nobody wants; `foothold status` shows who wants which"
            )
        retirement = register.retirement(region)
        if retirement and retirement.phase not in (Phase.RETIRED, Phase.CALLED_OFF):
            raise PermanentError(
                f"the retirement of {region} is not over ({retirement.phase}): wait for it, or "
                "choose another region"
            )
        status = self._operator.regions.statuses().get(region)
        if status not in USABLE:
            raise PermanentError(
                f"{region} is {(status or 'unknown').lower()} for this account: choose a region "
                "that is enabled"
            )
        at_home = {*names.publishing(names.store(region)), names.adoption(region)}
        here = operator.parameters.get(region, names.publishing(names.own_store))
        return not here and not at_home & set(register.parameters)

    # --- Taking everything away

    def _take_away(self, run: Run, say: Say) -> tuple[Finding, tuple[str, ...]]:
        """Take away whatever is left of a run; return how the retirement went, and a line for
        each thing that stays."""
        say("taking everything away")
        waiting = _Waiting(self._operator, MOST_CALLS, less_often=2.0)
        left: list[str] = []
        live = self._operator.live
        made: dict[str, Callable[[], None]] = {
            f"the stack {run.pipeline_stack}": lambda: self._delete(run.pipeline_stack, waiting),
            f"the stack {run.stack}": lambda: self._delete(run.stack, waiting),
            f"{run.region} on the list": lambda: self._take_off_the_list(run),
            run.alias: lambda: live.delete_alias(run.region, run.alias),
            f"the objects {run.prefix}*": lambda: self._delete_objects(run),
        }
        for what, take_away in made.items():
            try:
                take_away()
            except FootholdError as error:
                left.append(f"{what}: {error}")
        since = self._operator.clock()
        answer = Answer(Reply.NOT_ASKED, THERE_BEFORE)
        if run.fresh:
            say(f"retire: {BY_NAME['retire'].words}")
            answer = self._retire(run, waiting)
        retired = judge(BY_NAME["retire"], answer, self._operator.clock() - since)
        if answer.reply not in (Reply.DONE, Reply.NOT_ASKED):
            left.append(f"the store of {run.region}: {retired.seen}")
        if not left:
            self._operator.parameters.delete(self._operator.home_region, (self._state,))
        return retired, tuple(left)

    def _delete(self, name: str, waiting: "_Waiting") -> None:
        self._operator.live.delete_stack(name)

        def gone() -> tuple[bool, str]:
            seen = self._operator.live.stack(name)
            if seen and seen.status == "DELETE_FAILED":
                raise PermanentError(str(seen))
            return seen is None or seen.status == "DELETE_COMPLETE", str(seen)

        answer = waiting.until(gone, STORE_SECONDS, f"the end of the stack {name}")
        if answer.reply is not Reply.DONE:
            raise TemporaryError(answer.words)

    def _take_off_the_list(self, run: Run) -> None:
        """Nobody had listed it before the run did; and what an event has asked for in vain is
        dropped, too."""
        if not run.fresh:
            return
        names = self._operator.names
        request = names.request(run.region)
        found = self._operator.parameters.get(self._operator.home_region, (names.regions, request))
        if run.region in Register(names, found).listed.names or request in found:
            self._operator.kept.remove([run.region])

    def _delete_objects(self, run: Run) -> None:
        """Those in a store that is retired go with it."""
        live = self._operator.live
        if not run.fresh and (store := self._operator.store(run.region)):
            live.delete_objects(run.region, store.bucket, run.prefix)
        if run.home_bucket:
            live.delete_objects(self._operator.home_region, run.home_bucket, run.prefix)

    def _retire(self, run: Run, waiting: "_Waiting") -> Answer:
        kept: list[str] = []

        def retired() -> tuple[bool, str]:
            try:
                answer = self._operator.function.ask(
                    {"command": "retire", "region": run.region, "seconds": RETIRE_SECONDS}
                )
            except NotReachedError:
                raise
            except FootholdError as error:
                text = str(error)
                if " is wanted by " in text or " is used by " in text:
                    kept.append(text)
                    return True, text
                if "was retired already" in text or "has no artifact store" in text:
                    return True, "retired"
                if _may_pass(error):
                    return False, text
                raise _FailedError(text) from error
            return answer["phase"] == "retired", str(answer["phase"])

        try:
            answer = waiting.until(retired, TAG_SECONDS, f"the retirement of {run.region}")
        except FootholdError as error:
            return answer_to(error)
        if kept:
            return Answer(Reply.NOT_ASKED, f"kept, because somebody needs it by now: {kept[0]}")
        return answer


def wanted_by(register: Register, region: str) -> list[str]:
    """Who wants a region, as far as parameters tell."""
    listed = register.listed
    all_enabled = (region,) if listed.all_enabled and region not in listed.excepted else ()
    by = register.wanted(all_enabled).get(region, WantedBy())
    return ["the list"] * by.on_the_list + [*by.claims] + ["an event"] * by.requested


class _FailedError(Exception):
    """What was waited for has failed, whoever is to blame: it is not the caller's own refusal."""


def _may_pass(error: FootholdError) -> bool:
    """Whether a function of Foothold met what passes: what its role may do with a key can hang on
    the key's tags, which do not count at once."""
    return isinstance(error, TemporaryError) or "AccessDenied" in str(error)


def _interrupted(left: tuple[str, ...]) -> str:
    if left:
        return f"interrupted, and some of it is left; {CLEAN_UP} takes it away: {'; '.join(left)}"
    return "interrupted; everything that the run had made was taken away"


class _Waiting:
    """Looks again, ever less often, until something is so: within a time, and within the calls
    that a run may make."""

    def __init__(self, operator: Operator, calls: int, less_often: float) -> None:
        self._operator = operator
        self._calls = calls
        self._less_often = less_often

    @property
    def has_no_calls_left(self) -> bool:
        return self._operator.live.calls >= self._calls

    def until(self, look: Callable[[], tuple[bool, str]], seconds: float, what: str) -> Answer:
        """Look until it is true; `look` also tells what it saw."""
        began, pause = self._operator.clock(), FIRST_LOOK_SECONDS
        while True:
            try:
                done, seen = look()
            except _FailedError as error:
                return Answer(Reply.OTHER, str(error))
            if done:
                return Answer(Reply.DONE, seen)
            passed = self._operator.clock() - began
            if passed >= seconds or self.has_no_calls_left:
                line = f"waited {passed:.0f} s for {what}; the last answer: {seen}"
                return Answer(Reply.LATE, line)
            self._operator.sleep(min(pause, seconds - passed))
            pause *= self._less_often


class _Rows:
    """The rows of one run, asked one after the other."""

    def __init__(self, operator: Operator, run: Run, request: AcceptanceRequest, say: Say) -> None:
        self._operator = operator
        self._live = operator.live
        self._run = run
        self._request = request
        self._say = say
        self._waiting = _Waiting(operator, CALLS_FOR_ROWS, less_often=1.5)
        self._held: set[str] = set()
        self._store: ArtifactStore | None = None
        self._made = operator.clock()
        self._list: tuple[str, ...] = ()
        self._other_key = ""
        self._stages: list[str] = []

    def finding(self, name: str) -> Finding:
        """Ask one claim, and judge the answer. Nothing that AWS answers is raised."""
        claim = BY_NAME[name]
        since = self._operator.clock()
        try:
            answer = self._why_not(name)
            if answer is None:
                self._say(f"{name}: {claim.words}")
                answer = self._ask(name)
        except DeclarationError as error:
            answer = Answer(Reply.NOT_ASKED, str(error))
        except FootholdError as error:
            answer = answer_to(error)
        seconds = self._operator.clock() - (self._made if name == "delay-tag" else since)
        finding = judge(claim, answer, seconds, self._store)
        if finding.verdict is ClaimVerdict.HOLDS:
            self._held.add(name)
        return finding

    def _why_not(self, name: str) -> Answer | None:
        """Why a row is not asked; None where it is."""
        why = None
        if name in self._request.without:
            why = "left out by --without"
        elif name == "pipeline-run" and not self._request.run_pipeline:
            why = "it costs a build: --run-pipeline asks it"
        elif not self._run.fresh and (name.startswith("ask-by-") or name == "delay-tag"):
            why = THERE_BEFORE
        elif self._waiting.has_no_calls_left:
            why = f"the {CALLS_FOR_ROWS} calls that a run makes for its rows are used up"
        elif (needed := NEEDED.get(name)) and needed not in self._held:
            why = f"it shows nothing while {needed} does not hold"
        elif not name.startswith("ask-by-") and self._the_store() is None:
            why = f"{self._run.region} has no store"
        return None if why is None else Answer(Reply.NOT_ASKED, why)

    def _the_store(self) -> ArtifactStore | None:
        if self._store is None and (store := self._operator.store(self._run.region)):
            self._store, self._made = store, self._operator.clock()
        return self._store

    def _ask(self, name: str) -> Answer:
        if name.startswith("write-"):
            return self._write(name)
        if name.startswith("read-"):
            return self._read(name)
        asks: dict[str, Callable[[], Answer]] = {
            "ask-by-stack": self._make_by_stack,
            "ask-by-event": lambda: self._publish_by(self._send_event),
            "ask-by-list": lambda: self._publish_by(self._put_on_list),
            "ask-by-list-alone": lambda: self._publish_by(self._write_list_again),
            "delay-tag": self._find_by_tag,
            "delay-alias": self._follow_alias,
            "package": self._package,
            "pipeline": self._make_pipeline,
            "pipeline-run": self._run_pipeline,
        }
        return asks[name]()

    # --- Ways to ask

    def _make_by_stack(self) -> Answer:
        properties = {
            "ServiceToken": f"{{{{resolve:ssm:{self._operator.names.service_token}}}}}",
            "ServiceTimeout": "300",
            "Region": self._run.region,
        }
        store = {"Type": "Custom::ArtifactStore", "Properties": properties}
        answer = self._create(self._run.stack, {"Resources": {"Store": store}})
        if answer.reply is not Reply.DONE:
            return answer
        return self._published()

    def _create(self, name: str, template: Mapping[str, Any], role: str | None = None) -> Answer:
        self._live.create_stack(name, template, self._run, role)

        def created() -> tuple[bool, str]:
            seen = self._live.stack(name)
            if seen and seen.status not in ("CREATE_COMPLETE", "CREATE_IN_PROGRESS"):
                raise _FailedError(str(seen))
            return seen is not None and seen.status == "CREATE_COMPLETE", str(seen)

        return self._waiting.until(created, STORE_SECONDS, f"the stack {name}")

    def _publish_by(self, ask: Callable[[], Answer | None]) -> Answer:
        """How long asking takes shows where there is something to do: the region's own parameters
        are taken away before, and the work ends by putting them back."""
        if self._the_store():
            names = self._operator.names
            own = names.publishing(names.own_store)
            self._operator.parameters.delete(self._run.region, own)
        answer = ask()
        if answer and answer.reply is not Reply.DONE:
            return answer
        return self._published()

    def _published(self) -> Answer:
        def published() -> tuple[bool, str]:
            store = self._operator.store(self._run.region)
            if store and self._store is None:
                self._store, self._made = store, self._operator.clock()
            return store is not None, "published" if store else "no parameters there"

        what = f"the parameters that publish {self._run.region}"
        return self._waiting.until(published, EVENT_SECONDS, what)

    def _send_event(self) -> None:
        self._operator.requests.request([self._run.region])

    def _put_on_list(self) -> Answer:
        """As `foothold regions add` does: it writes the list, and has the store made."""
        region = self._run.region
        self._list = self._operator.kept.add([region])

        def made() -> tuple[bool, str]:
            try:
                answer = self._operator.function.ask({"command": "add", "regions": [region]})
            except NotReachedError:
                raise
            except FootholdError as error:
                if isinstance(error, BusyError):
                    return False, str(error)
                raise _FailedError(str(error)) from error
            if answer["regions"][region]["error"]:
                raise _FailedError(answer["regions"][region]["error"])
            return True, "made"

        return self._waiting.until(made, EVENT_SECONDS, "the control plane")

    def _write_list_again(self) -> None:
        name = self._operator.names.regions
        self._operator.parameters.put_list(self._operator.home_region, name, self._list)

    # --- The store's policies

    def _key(self, name: str) -> str:
        return f"{self._run.prefix}{name}"

    def _the(self) -> ArtifactStore:
        assert self._store is not None  # `_why_not` has looked
        return self._store

    def _write(self, name: str) -> Answer:
        store = self._the()
        if name.endswith("-other-key") and not self._other_key:
            self._other_key = self._live.another_key(store.region)
        encryption = {
            "write-right-key": Encryption("aws:kms", store.key_arn),
            "write-default": Encryption(),
            "write-part": Encryption("aws:kms", store.key_arn),
            "write-part-default": Encryption(),
            "write-other-key": Encryption("aws:kms", self._other_key),
            "write-part-other-key": Encryption("aws:kms", self._other_key),
            "write-key-by-id": Encryption("aws:kms", store.key_arn.rpartition("/")[2]),
            "write-unnamed-key": Encryption("aws:kms"),
            "write-aes256": Encryption("AES256"),
            "write-own-key": Encryption(own_key=True),
        }[name]
        if name in IN_PARTS:
            return self._live.put_in_parts(store, self._key(name), encryption)
        return self._live.put(store, self._key(name), encryption)

    def _read(self, name: str) -> Answer:
        read = {
            "read-owner": self._live.read,
            "read-plain-http": self._live.read_over_plain_http,
            "read-deploy-role": self._live.read_as_deploy_role,
            "read-other-role": self._live.read_as_another_role,
        }[name]
        return read(self._the(), self._key("write-right-key"))

    # --- Delays

    def _find_by_tag(self) -> Answer:
        key, region = self._the().key_arn, self._run.region

        def found() -> tuple[bool, str]:
            keys = self._live.tagged_keys(region)
            return key in keys, "found" if key in keys else f"{len(keys)} other keys"

        return self._waiting.until(found, TAG_SECONDS, "the key among those with its tags")

    def _follow_alias(self) -> Answer:
        key, alias = self._the().key_arn, self._run.alias
        self._live.create_alias(self._run.region, alias, key)

        def leads() -> tuple[bool, str]:
            found = self._live.aliased(self._run.region, alias)
            return found == key, "leads to its key" if found == key else f"leads to {found}"

        return self._waiting.until(leads, ALIAS_SECONDS, f"{alias} to lead to its key")

    # --- Packaging and pipelines

    def _package(self) -> Answer:
        store, key = self._the(), self._key("build.zip")
        written = self._live.put(store, key, Encryption("aws:kms", store.key_arn), zipped(PACKAGED))
        if written.reply is not Reply.DONE:
            return written
        name = self._operator.names.package_function
        function = self._operator.parameters.get(self._operator.home_region, (name,)).get(name)
        if function is None:
            raise PermanentError(f"there is no parameter {name}: deploy Foothold again")
        order = {
            "project": self._run.name,
            "regions": [store.region],
            "source": {"bucket": store.bucket, "key": key},
        }

        def packaged() -> tuple[bool, str]:
            try:
                answer = self._live.invoke(function, order)
            except NotReachedError:
                raise
            except FootholdError as error:
                if _may_pass(error):
                    return False, str(error)
                raise _FailedError(str(error)) from error
            failed = "; ".join(f"{one}: {why}" for one, why in answer["failed"].items())
            if failed and "AccessDenied" not in failed:
                raise _FailedError(failed)
            return not failed, failed or str(answer["summary"])

        return self._waiting.until(packaged, TAG_SECONDS, "the package function")

    def _make_pipeline(self) -> Answer:
        store, home = self._the(), self._operator.store(self._operator.home_region)
        if home is None or home.region == store.region:
            return Answer(Reply.NOT_ASKED, "there are no stores in two regions")
        stores = {each.region: each for each in (home, store)}
        declared = {
            "Type": RESOURCE_TYPE,
            "Properties": smallest_pipeline(self._run, home, self._live.account()),
        }
        template = expand_template(
            {"Resources": {"Pipeline": declared}},
            stores,
            home.region,
            {},
            self._operator.names.root,
        )
        answer = self._create(self._run.pipeline_stack, template, PIPELINES_ROLE)
        if answer.reply is not Reply.DONE:
            return answer
        definition = self._live.pipeline(self._run.name)
        self._stages = [stage["name"] for stage in definition["stages"]]
        seen = {
            (region, one["location"], one["encryptionKey"]["id"])
            for region, one in definition.get("artifactStores", {}).items()
        }
        if seen != {(each.region, each.bucket, each.key_arn) for each in stores.values()}:
            return Answer(Reply.OTHER, f"its artifact stores are {sorted(seen)}")
        return Answer(
            Reply.DONE, f"stages {', '.join(self._stages)}; stores in {len(seen)} regions"
        )

    def _run_pipeline(self) -> Answer:
        home = self._operator.store(self._operator.home_region)
        assert home is not None  # the pipeline holds
        source = Encryption("aws:kms", home.key_arn)
        written = self._live.put(home, source_key(self._run), source, zipped(BUILT))
        if written.reply is not Reply.DONE:
            return written
        last = self._stages.index("Package")
        self._live.start_pipeline(self._run.name, self._stages[last + 1])
        asked = self._stages[: last + 1]

        def succeeded() -> tuple[bool, str]:
            found = self._live.stages(self._run.name)
            seen = ", ".join(f"{stage} {found.get(stage, 'not begun')}" for stage in asked)
            if any(found.get(stage) in ("Failed", "Stopped") for stage in asked):
                raise _FailedError(seen)
            return all(found.get(stage) == "Succeeded" for stage in asked), seen

        return self._waiting.until(succeeded, RUN_SECONDS, "the pipeline")


def zipped(files: Mapping[str, str]) -> bytes:
    """An archive of these files."""
    target = BytesIO()
    with ZipFile(target, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return target.getvalue()
