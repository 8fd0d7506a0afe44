"""`foothold mcp`: an assistant asks what the commands tell, and changes nothing."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
import typer
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent
from typer.testing import CliRunner

from benchmarks import s3
from foothold.cli import mcp
from foothold.cli.main import app
from foothold.releases.changes import Action, ChangeSet, ResourceChange, SetState
from foothold.releases.model import Cell
from foothold.releases.review import fold
from local.aws.embedded import ROOT
from tests.packaging.side_by_side import store
from tests.test_reference import leaves

T = TypeVar("T")
Answering = Callable[[s3.World, s3.Request], s3.Answer]
HOME = "eu-central-1"
REGIONS = (HOME, "eu-west-1")
SECRETS = ("credential-of-this-test", "parameter-of-this-test")
BUILT = """\
Resources:
  Code: {Type: AWS::Lambda::Function, Properties: {Code: Code, Handler: app.handler, Role: x}}
"""
DECLARATION = """\
Name: shop
Source: {CodeCommit: {Repository: shop}}
Targets:
  - {Name: Prod, Account: "222222222222", Stack: shop, Regions: [eu-central-1, eu-west-1],
     Parameters: {Key: parameter-of-this-test}}
"""
ROLE = "arn:aws:iam::222222222222:role/deploy"
PLAN = {
    "eu-central-1": {"steps": []},
    "eu-west-1": {"error": "cannot read the bucket: AccessDenied", "temporary": False},
}
# A tool, what an assistant gives it, and what a person would type.
ASKED: Sequence[tuple[str, dict[str, Any], str]] = (
    ("status", {}, "status --json"),
    ("plan", {}, "plan --json"),
    ("plan", {"regions": ["eu-west-1", HOME]}, "plan eu-west-1 eu-central-1 --json"),
    ("release_list", {"project": "shop"}, "release list shop --json"),
    ("release_show", {"project": "shop"}, "release show shop --json"),
    (
        "review",
        {"pipeline": "shop", "target": "Prod", "execution": "e-1"},
        "review shop Prod --execution e-1 --json",
    ),
    ("board", {"project": ["shop"]}, "board --project shop --json"),
    (
        "explain",
        {"principal": ROLE, "region": HOME},
        f"explain --principal {ROLE} --region {HOME} --json",
    ),
)
# Every other command, and why no assistant has it.
NOT_OFFERED = {
    "it changes something": (
        *("regions add", "regions remove", "regions retire", "regions adopt", "regions hand-over"),
        *("regions release", "package", "release deploy", "release rollback", "release hold"),
        *("pipeline rehearse", "accept", "local up", "local down"),
    ),
    "status tells it": ("regions list", "regions claims", "regions check"),
    "it reads the person's files": ("pipeline render", "pipeline graph", "pipeline schema"),
    "it is the server itself": ("mcp",),
}
# Of a command that is offered: the options that no assistant has, beside --json and --root.
OPTIONS_LEFT_OUT = {
    "review": {"to_html", "as_markdown"},  # a file that is written; another answer
    "board": {"to_html", "watch"},  # a file that is written; it never ends
    "explain": {
        "profile",
        "management_profile",
    },  # credentials are for the server's configuration to choose
}
# Where a command has another name for it.
NAMED = {"release": "release_id"}


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[s3.World]:
    """A control plane with two stores, a release and a review."""
    world = s3.World()
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(s3.start(world))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}",
        "AWS_ACCESS_KEY_ID": s3.ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "credential-of-this-test",
        "AWS_REGION": HOME,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    world.parameters = {"/foothold/service-token": "arn", "/foothold/reconcile-function": "f"}
    for region in REGIONS:
        path = f"/foothold/artifact-stores/{region}"
        world.parameters[f"{path}/bucket"] = store(region).bucket
        world.parameters[f"{path}/key-arn"] = store(region).key_arn
    world.calls["AmazonSSM.GetParameters"] = lambda body: {
        "Parameters": [
            {"Name": name, "Value": world.parameters[name]}
            for name in body["Names"]
            if name in world.parameters
        ]
    }
    world.paths["2015-03-31"] = lambda _request: (200, {}, json.dumps({"plan": PLAN}).encode())
    monkeypatch.setattr(s3, "answer", refusing(s3.answer))
    _release(tmp_path_factory.mktemp("app"), monkeypatch)
    _review(world)
    yield world
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    listening.close()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def refusing(answer: Answering) -> Answering:
    """As `answer`, but for what it does not have: nobody may read that."""

    def refuse(world: s3.World, request: s3.Request) -> s3.Answer:
        body = request.body or b""
        query = b"Action=" in body and b"Action=GetCallerIdentity" not in body
        if query or {"policy", "publicAccessBlock", "ownershipControls"} & request.query.keys():
            why = "<Error><Code>AccessDenied</Code><Message>not for you</Message></Error>"
            return 403, {}, (f"<ErrorResponse>{why}</ErrorResponse>" if query else why).encode()
        return answer(world, request)

    return refuse


def _release(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = folder / ".aws-sam" / "build" / "Code"
    code.mkdir(parents=True)
    (code / "app.py").write_text("handler = 1\n")
    (code.parent / "template.yaml").write_text(BUILT)
    (folder / "pipeline.yaml").write_text(DECLARATION)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        done = typed("package --project shop --targets pipeline.yaml --json")
    assert done[0] == 0, done


def _review(world: s3.World) -> None:
    removed = ResourceChange(Action.REMOVE, "Orders", "AWS::SQS::Queue", policy="Delete")
    cell = Cell("222222222222", HOME, "shop")
    ready = ChangeSet(cell, SetState.READY, "arn", changes=(removed,))
    body = fold("shop", "Prod", "e-1", [ready]).render()
    path = f"/{store(HOME).bucket}/shop/reviews/Prod/e-1/review.json"
    world.objects[path] = s3.Stored(len(body), body, {})


def typed(line: str) -> tuple[int, str, str]:
    """What a person gets who types this after `foothold`."""
    done = CliRunner().invoke(app, line.split())
    return done.exit_code, done.stdout, done.stderr


def asked(question: Callable[[Client], Awaitable[T]]) -> T:
    """What an assistant gets that is connected to the server."""

    async def ask() -> T:
        async with Client(mcp.server("/foothold")) as client:
            return await question(client)

    found: T = anyio.run(ask)
    return found


def called(name: str, given: dict[str, Any]) -> CallToolResult:
    return asked(lambda client: client.call_tool(name, given))


def texts(result: CallToolResult) -> list[str]:
    assert all(isinstance(each, TextContent) for each in result.content)
    return [each.text for each in result.content if isinstance(each, TextContent)]


def without_time(found: Sequence[str]) -> list[str]:
    """But for when it was looked, which a board tells."""
    return [re.sub(r'"at": [0-9.]+', '"at": 0', each) for each in found]


def command(words: str) -> Any:
    found: Any = typer.main.get_command(app)
    for word in words.split():
        found = found.get_command(None, word)
    return found


# --- What is offered -----------------


def test_the_tools_are_listed_with_what_they_take_and_as_reading_only() -> None:
    found = asked(lambda client: client.list_tools()).tools
    names = ["status", "plan", "review", "release_list", "release_show", "board", "explain"]
    assert [tool.name for tool in found] == names
    for tool in found:
        assert tool.annotations
        assert tool.annotations.read_only_hint
        assert len(tool.description or "") > 50
        assert tool.input_schema["additionalProperties"] is False
    assert found[2].input_schema["required"] == ["pipeline"]


def test_every_command_is_a_tool_or_has_its_reason_not_to_be_one() -> None:
    others = [words for each in NOT_OFFERED.values() for words in each]
    offered = [tool.words for tool in mcp.TOOLS]
    assert sorted(leaves(typer.main.get_command(app))) == sorted([*offered, *others])


@pytest.mark.parametrize("tool", mcp.TOOLS, ids=lambda tool: tool.name)
def test_a_tool_has_every_option_of_its_command_but_for_those_with_a_reason(
    tool: mcp.ReadCommand,
) -> None:
    has = {each.name for each in command(tool.words).params}
    ours = {NAMED.get(name, name) for name in tool.schema["properties"]}
    assert has - ours == {"as_json", "root"} | OPTIONS_LEFT_OUT.get(tool.words, set())
    assert ours <= has


@pytest.mark.parametrize("value", ["=x", "@file", "$(id)", "a --json", "*", "x;y", "/--root"])
@pytest.mark.parametrize("tool", mcp.TOOLS, ids=lambda tool: tool.name)
def test_a_value_stays_the_value_of_its_own_argument(tool: mcp.ReadCommand, value: str) -> None:
    given = {name: _example(name, schema, value) for name, schema in _takes(tool).items()}
    words = tool.command("/elsewhere", given)[len(tool.words.split()) :]
    parsed = command(tool.words).make_context(tool.name, words).params
    expected = {NAMED.get(name, name): found for name, found in given.items()}
    expected |= {"message": "-"} if tool.pasted else {}
    expected |= {name: parsed[name] for name in OPTIONS_LEFT_OUT.get(tool.words, ())}
    assert not any(parsed[name] for name in OPTIONS_LEFT_OUT.get(tool.words, ()))
    assert parsed == {**expected, "root": "/elsewhere", "as_json": True}


def test_an_option_that_is_off_is_left_out() -> None:
    (review,) = [tool for tool in mcp.TOOLS if tool.name == "review"]
    words = ["review", "--json", "--root=/x", "--", "shop"]
    assert review.command("/x", {"pipeline": "shop", "now": False}) == words


def _takes(tool: mcp.ReadCommand) -> dict[str, Any]:
    return dict(tool.schema["properties"])


def _example(name: str, schema: dict[str, Any], value: str) -> Any:
    match schema["type"]:
        case "array":
            return ["eu-west-1", "eu-west-3"] if name == "regions" else [value, value]
        case "boolean":
            return True
        case _:
            return "eu-west-1" if name == "region" else value


# --- What is answered -----------------


def test_a_tool_sends_nothing_but_reads_and_answers_what_the_command_prints_with_json(
    world: s3.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    answer = s3.answer

    def noted(world: s3.World, request: s3.Request) -> s3.Answer:
        target = request.headers.get("x-amz-target", "")
        sent.append(target or f"{request.method} {request.path} {request.body!r}")
        return answer(world, request)

    async def ask(client: Client) -> list[CallToolResult]:
        return [await client.call_tool(name, given) for name, given, _ in ASKED]

    before = dict(world.objects)
    with monkeypatch.context() as patch:
        patch.setattr(s3, "answer", noted)
        results = asked(ask)
    assert world.objects == before
    _only_reads(sent)
    for result, (name, _, line) in zip(results, ASKED, strict=True):
        code, printed, warned = typed(line)
        assert code in {0, 1}, line
        assert without_time(texts(result)) == without_time([printed, *warned.splitlines()]), name
        assert json.loads(printed), name
        assert not result.is_error, name
        for secret in SECRETS:
            assert secret not in result.model_dump_json(), name


def _only_reads(sent: Sequence[str]) -> None:
    plans = [line for line in sent if "/invocations" in line]
    assert len(plans) == 3  # of status, and of plan twice
    assert all('b\'{"command": "plan", ' in line for line in plans)
    reads = (
        r"GET |HEAD |AmazonSSM\.Get|TrentService\.(Describe|Get|List)|"
        r"POST / b'Action=(Get|List|Describe|AssumeRole&)"
    )
    assert [line for line in sent if line not in plans and not re.match(reads, line)] == []
    assert any(line.startswith("GET ") for line in sent)


def test_what_the_command_warns_of_stands_after_its_json(world: s3.World) -> None:
    world.paths["2015-03-31"] = lambda _request: (
        403, {"x-amzn-errortype": "AccessDeniedException"}, b'{"message": "not for you"}'
    )  # fmt: skip
    found, warning = texts(called("status", {}))
    assert [region["looked_at"] for region in json.loads(found)] == [False, False]
    assert warning.startswith("foothold: nobody has looked, this is what the parameters say: ")


def test_a_failure_is_the_one_clear_line_of_the_command(world: s3.World) -> None:
    assert world.objects
    asks: dict[str, tuple[dict[str, Any], str]] = {
        "release_show": ({"project": "nobody"}, "release show nobody --json"),
        "plan": ({"regions": ["europe"]}, "plan europe --json"),
        "board": ({"project": ["nobody"]}, "board --project nobody --json"),
        "explain": ({}, "explain --json"),
    }
    for name, (given, line) in asks.items():
        result = called(name, given)
        code, printed, complaint = typed(line)
        assert code
        assert printed == ""
        assert texts(result) == complaint.splitlines()
        assert result.is_error


def test_a_message_that_is_pasted_is_what_the_command_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = "import json, sys; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    monkeypatch.setattr(mcp, "FOOTHOLD", (sys.executable, "-X", "utf8", "-c", told))
    message = "User: x is not authorized to perform: s3:GetObject\n--profile \N{SNOWMAN}"
    for given, words, read in (({"message": message}, ["-"], message), ({}, [], "")):
        (found,) = texts(called("explain", given))
        assert json.loads(found) == [["explain", "--json", "--root=/foothold", "--", *words], read]


def test_of_a_command_that_breaks_an_assistant_sees_no_more_than_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = (sys.executable, "-c", "raise RuntimeError('parameter-of-this-test')")
    monkeypatch.setattr(mcp, "FOOTHOLD", broken)
    result = called("release_list", {"project": "shop"})
    assert result.is_error
    line = "foothold release list ended with exit code 1 and no answer: run it in a terminal"
    assert texts(result) == [line]


# --- What is refused -----------------

TEXTS = [
    (tool.name, name)
    for tool in mcp.TOOLS
    for name, schema in _takes(tool).items()
    if schema["type"] != "boolean" and name not in tool.pasted
]
BAD = ["-x", "--root=/elsewhere", "--html=page", "", " ", "a\nb", "a\0b", "\N{SNOWMAN}", 3, None,
       {"a": "b"}, "x" * 5_000]  # fmt: skip


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a command was run")

    monkeypatch.setattr(anyio, "run_process", refuse)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(("name", "argument"), TEXTS)
def test_a_value_that_could_be_an_option_or_is_no_text_runs_nothing(
    name: str, argument: str
) -> None:
    async def ask(client: Client) -> list[CallToolResult]:
        needed = {"pipeline": "shop", "project": "shop"}
        tool = next(tool for tool in mcp.TOOLS if tool.name == name)
        given = {each: needed[each] for each in tool.needed}
        several = _takes(tool)[argument]["type"] == "array"
        return [
            await client.call_tool(name, given | {argument: [bad] if several else bad})
            for bad in BAD
        ]

    for result in asked(ask):
        (line,) = texts(result)
        assert result.is_error
        assert line.startswith(f"{name}: $.{argument}")
        assert "elsewhere" not in line  # a value may be a secret in the wrong place


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        ("status", {"region": "eu-west-1"}, "status: $ does not hold to additionalProperties"),
        ("review", {}, 'review: $ does not hold to required: ["pipeline"]; it takes pipeline, '),
        ("review", {"pipeline": "shop", "html": "page"}, "review: $ does not hold to additional"),
        ("review", {"pipeline": "shop", "now": "yes"}, "review: $.now does not hold to type"),
        ("explain", {"message": ""}, "explain: $.message does not hold to minLength"),
        ("explain", {"profile": "admin"}, "explain: $ does not hold to additionalProperties"),
        ("plan", {"regions": ["eu-west-1"] * 101}, "plan: $.regions does not hold to maxItems"),
        ("package", {}, "there is no tool package: status, plan, review, "),
        ("regions add", {"regions": ["eu-west-1"]}, "there is no tool regions add: status, "),
    ],
)
def test_what_no_tool_takes_is_refused_in_one_line(
    name: str, given: dict[str, Any], line: str
) -> None:
    result = called(name, given)
    assert result.is_error
    assert texts(result)[0].startswith(line)


# --- How it runs -----------------


def test_an_assistant_starts_it_and_speaks_with_it_over_standard_input_and_output(
    world: s3.World,
) -> None:
    assert world.objects
    foothold = StdioServerParameters(
        command=str(Path(sys.executable).parent / "foothold"),
        args=["mcp"],
        env={name: value for name, value in os.environ.items() if name.startswith("AWS_")},
    )

    async def ask() -> CallToolResult:
        async with Client(stdio_client(foothold)) as client:
            return await client.call_tool("release_list", {"project": "shop"})

    assert texts(anyio.run(ask)) == [typed("release list shop --json")[1]]


def test_a_command_ends_when_the_assistant_gives_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_work = tmp_path / "process"
    endless = f"import os, pathlib, time; p = pathlib.Path({str(at_work)!r}); "
    endless += "p.with_suffix('.new').write_text(str(os.getpid())); "
    endless += "p.with_suffix('.new').rename(p); time.sleep(1e6)"
    monkeypatch.setattr(mcp, "FOOTHOLD", (sys.executable, "-c", endless))

    async def give_up() -> None:
        async with (
            Client(mcp.server("/foothold"), mode="legacy") as client,
            anyio.create_task_group() as asking,
        ):
            asking.start_soon(client.call_tool, "status")
            while not at_work.exists():
                await anyio.sleep(0.02)
            asking.cancel_scope.cancel()

    anyio.run(give_up)
    with pytest.raises(ProcessLookupError):
        os.kill(int(at_work.read_text()), 0)


WITHOUT = "import sys; sys.modules['mcp'] = None; sys.argv[0] = 'foothold'; "


NOT_INSTALLED = (
    "foothold: the SDK of the Model Context Protocol is not installed: "
    "pip install 'foothold[mcp]'\n"
)


@pytest.mark.parametrize(("word", "code", "line"), [("mcp", 1, NOT_INSTALLED), ("--help", 0, "")])
def test_without_the_extra_it_says_how_to_install_it_and_all_else_works(
    word: str, code: int, line: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT}from foothold.cli import main; main()", word],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, line)


def test_the_page_has_a_configuration_that_starts_it_and_every_tool() -> None:
    page = (ROOT / "docs" / "mcp.md").read_text()
    code = "\n".join(line for line in page.splitlines() if line.startswith("    "))
    (server,) = json.loads(code[code.index("{") : code.rindex("}") + 1])["mcpServers"].values()
    assert Path(server["command"]).name == "foothold"
    assert command(server["args"][0]).make_context("mcp", server["args"][1:])
    rows = re.findall(r"^\| `(\w+)` \| `foothold ([\w ]+)` \| (.*?) \|", page, re.MULTILINE)
    assert [(name, words) for name, words, _ in rows] == [(t.name, t.words) for t in mcp.TOOLS]
    for tool, (_, _, takes) in zip(mcp.TOOLS, rows, strict=True):
        assert re.findall(r"`(\w+)`", takes) == list(_takes(tool)), tool.name


def test_no_function_has_the_extra() -> None:
    locks = [*ROOT.glob("layers/*/requirements.txt"), *ROOT.glob("functions/*/requirements.txt")]
    assert len(locks) > 1
    assert not any(line.startswith("mcp") for lock in locks for line in lock.read_text().split())
