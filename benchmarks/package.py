"""`make bench-package`: the loop of N `sam package` runs against one `foothold package` for N.

Both are started as a person starts them, one after the other on the same S3 (benchmarks/s3.py,
on this machine), once near and once as far away as another continent: 80 ms for each request,
30 MB/s on each connection. "Warm" means that every object is there already. Every template of
every region is compared with `sam package`'s; a difference ends the benchmark.

The loop is timed run by run: its first N runs are the loop for N regions. Foothold is timed as
soon as the loop has come as far, three times, and the median counts.

Then what it costs to keep a release: runs that keep one and runs that do not, by turns, for as many
regions as there are. With `--release` this alone.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".local" / "bench-package"
BIN = Path(sys.executable).parent
RUNTIME = f"python3.{sys.version_info.minor}"
PROJECT = "shop"
REPEATS = 3
SLOW = ("--delay", "0.08", "--rate", "30e6")
REGIONS = [
    "eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-southeast-1", "ap-northeast-1",
    "sa-east-1", "ca-central-1", "eu-north-1", "eu-west-2", "eu-west-3", "us-east-2", "us-west-1",
    "ap-south-1", "ap-southeast-2", "ap-northeast-2", "ap-northeast-3", "af-south-1", "ap-east-1",
    "ap-east-2", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5",
    "ap-southeast-6", "ap-southeast-7", "ca-west-1", "eu-central-2", "eu-south-1", "eu-south-2",
    "il-central-1", "me-central-1", "me-south-1", "mx-central-1",
]  # fmt: skip
GOALS = {("near", "cold", 16): 30, ("near", "cold", 34): 45, ("near", "warm", 16): 60} | {
    ("far", "cold", 16): 30
}
MOST_MEMORY = 256  # MB
MOST_FOR_A_RELEASE = 1.05

# --- The application: about 100 MB, built by the real `sam build` ---------------------------

FUNCTIONS = {
    "Fetch": "requests==2.32.5",
    "Orders": "pydantic==2.13.5",
    "Store": "sqlalchemy==2.0.44",
    "Thumbnails": "pillow==12.0.0",
    "Signatures": "cryptography==46.0.3",
    "Schemas": "jsonschema==4.25.1\npyyaml==6.0.3",
}
LAYER = "lxml==6.0.2\nzstandard==0.25.0\nmsgpack==1.1.2"
HANDLER = "def handler(event, context):\n    return event\n"
FUNCTION = """\
  {name}:
    Type: AWS::Serverless::Function
    Properties: {{CodeUri: {code}/, Handler: app.handler, Runtime: {runtime}}}
"""
OTHERS = """\
  Libraries:
    Type: AWS::Serverless::LayerVersion
    Properties: {{ContentUri: libraries/}}
    Metadata: {{BuildMethod: {runtime}}}
  Nested:
    Type: AWS::Serverless::Application
    Properties: {{Location: nested/template.yaml}}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties: {{DefinitionUri: machine.asl.json}}
  Api:
    Type: AWS::Serverless::Api
    Properties: {{StageName: prod, DefinitionUri: openapi.yaml}}
"""


def sources() -> dict[str, str]:
    """The application's files."""
    files = {
        "machine.asl.json": '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}\n',
        "openapi.yaml": "openapi: 3.0.1\ninfo: {title: shop, version: '1'}\npaths: {}\n",
        "libraries/requirements.txt": LAYER,
        "nested/src/app.py": HANDLER,
    }
    head = "Transform: AWS::Serverless-2016-10-31\nResources:\n"
    template = head
    for name, requirements in FUNCTIONS.items():
        template += FUNCTION.format(name=name, code=name.lower(), runtime=RUNTIME)
        files[f"{name.lower()}/app.py"] = HANDLER
        files[f"{name.lower()}/requirements.txt"] = requirements
    inner = FUNCTION.format(name="Inner", code="src", runtime=RUNTIME)
    files["nested/template.yaml"] = head + inner
    files["template.yaml"] = template + OTHERS.format(runtime=RUNTIME)
    return files


def built() -> Path:
    """The folder that `sam build` wrote, built now or by an earlier run."""
    wanted = json.dumps(sources())
    mark, app = FOLDER / "built.json", FOLDER / "app"
    build = app / ".aws-sam" / "build"
    if mark.is_file() and mark.read_text() == wanted:
        return build
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, text in sources().items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(text)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [BIN / "sam", "build"],
        cwd=app,
        env={**os.environ, "PATH": path, "SAM_CLI_TELEMETRY": "0"},
        check=True,
        capture_output=True,
    )
    mark.write_text(wanted)
    return build


# --- The two ---------------------------------------------------------------------------------


def bucket(region: str) -> str:
    return f"foothold-111111111111-{region}-an"


def key_arn(region: str) -> str:
    return f"arn:aws:kms:{region}:111111111111:key/11111111-2222-3333-4444-555555555555"


def parameters() -> dict[str, str]:
    """What Foothold's command line reads: where the stores are."""
    named = {"/foothold/service-token": "arn"}
    for region in REGIONS:
        named[f"/foothold/artifact-stores/{region}/bucket"] = bucket(region)
        named[f"/foothold/artifact-stores/{region}/key-arn"] = key_arn(region)
    return named


@dataclass(frozen=True)
class S3:
    endpoint: str

    def use(self, shelf: str) -> None:
        urllib.request.urlopen(f"{self.endpoint}/_use/{shelf}")  # noqa: S310  # our own, above

    def reset(self) -> None:
        urllib.request.urlopen(f"{self.endpoint}/_reset")  # noqa: S310  # our own, above


@contextmanager
def s3(options: Sequence[str]) -> Iterator[S3]:
    command = [sys.executable, "-m", "benchmarks.s3", "--discard", "--home", REGIONS[0], *options]
    server = subprocess.Popen(
        [*command, "--parameters", json.dumps(parameters())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield S3(f"http://127.0.0.1:{server.stdout.readline().strip()}")
    finally:
        server.stdin.close()
        server.wait()


@dataclass(frozen=True)
class Timed:
    """`seconds` by the clock; `work` of the processor, in seconds."""

    seconds: float
    work: float
    megabytes: float


def timed(command: Sequence[str | Path], folder: Path, endpoint: str) -> Timed:
    """Run a command, and tell how long it took and how much memory it had at most."""
    settings = FOLDER / "sam"  # neither telemetry nor the weekly question for a newer version
    settings.mkdir(exist_ok=True)
    (settings / "metadata.json").write_text(
        json.dumps({"telemetryEnabled": False, "lastVersionCheck": time.time()})
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGIONS[0],
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(settings),
    }
    with (FOLDER / "output").open("w") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed:\n{(FOLDER / 'output').read_text()}")
    return Timed(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def sam_package(build: Path, region: str, endpoint: str) -> Timed:
    command: list[str | Path] = [
        BIN / "sam", "package", "--template-file", "template.yaml", "--s3-bucket", bucket(region),
        "--kms-key-id", key_arn(region), "--s3-prefix", f"{PROJECT}/builds", "--region", region,
        "--output-template-file", FOLDER / f"sam-{region}.yml",
    ]  # fmt: skip
    return timed(command, build, endpoint)


def foothold_package(build: Path, regions: Sequence[str], endpoint: str, *options: str) -> Timed:
    command: list[str | Path] = [BIN / "foothold", "package", "--project", PROJECT]
    command += ["--template", build / "template.yaml", "--output", FOLDER / "ours"]
    for region in regions:
        command += ["--region", region]
    command += options
    return timed(command, FOLDER, endpoint)


def compare(regions: Sequence[str]) -> None:
    for region in regions:
        theirs = (FOLDER / f"sam-{region}.yml").read_bytes()
        ours = (FOLDER / f"ours/template-export-{region}.yml").read_bytes()
        if ours != theirs:
            sys.exit(f"the template for {region} is not what sam package writes")


# --- Side by side ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    where: str
    state: str
    regions: int
    loop: float
    ours: float
    megabytes: float

    @property
    def ratio(self) -> float:
        return self.loop / self.ours


def measure(
    build: Path, where: str, options: Sequence[str], counts: Sequence[int], console: Console
) -> Iterator[Row]:
    with s3(options) as server:
        for state in ("cold", "warm"):
            loop = 0.0
            for done, region in enumerate(REGIONS[: max(counts)], start=1):
                server.use("sam")
                loop += sam_package(build, region, server.endpoint).seconds
                if done in counts:
                    ours = list(repeat(server, build, REGIONS[:done], state))
                    compare(REGIONS[:done])
                    row = Row(
                        where,
                        state,
                        done,
                        loop,
                        statistics.median(run.seconds for run in ours),
                        max(run.megabytes for run in ours),
                    )
                    console.print(f"[dim]{where}, {state}, {done} regions: {row.ratio:.1f}x")
                    yield row


def repeat(server: S3, build: Path, regions: Sequence[str], state: str) -> Iterator[Timed]:
    server.use(f"ours-{len(regions)}")
    if state == "warm":
        foothold_package(build, regions, server.endpoint)
    for _ in range(REPEATS):
        if state == "cold":
            server.reset()
        yield foothold_package(build, regions, server.endpoint)


# --- What it costs to keep a release ---------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """How many times the time by the clock, and the processor's work, of runs that keep none; the
    least of `pairs` runs each, because whatever else the machine does only adds to them."""

    where: str
    state: str
    pairs: int
    clock: float
    work: float


def costs(
    build: Path, where: str, options: Sequence[str], regions: Sequence[str], pairs: int
) -> Iterator[Cost]:
    with s3(options) as server:
        for state in ("cold", "warm"):
            runs: dict[str, list[Timed]] = {"--release": [], "--no-release": []}
            for shelf in runs:
                server.use(shelf)
                foothold_package(build, regions, server.endpoint, shelf)
            for number in range(pairs):
                for shelf in sorted(runs, reverse=bool(number % 2)):
                    server.use(shelf)
                    if state == "cold":
                        server.reset()
                    runs[shelf].append(foothold_package(build, regions, server.endpoint, shelf))
            kept, none = runs.values()
            clock = min(run.seconds for run in kept) / min(run.seconds for run in none)
            work = min(run.work for run in kept) / min(run.work for run in none)
            yield Cost(where, state, pairs, clock, work)


def show_costs(found: Sequence[Cost], regions: int, console: Console) -> None:
    table = Table(
        "S3", "Objects are", "Runs of each", "Time", "Work of the processor", "Goal",
        title=f"Keeping a release, {regions} regions", title_justify="left",
    )  # fmt: skip
    for one in found:
        met = max(one.clock, one.work) <= MOST_FOR_A_RELEASE
        table.add_row(
            one.where,
            "missing" if one.state == "cold" else "there",
            str(one.pairs),
            f"{one.clock:.3f}x",
            f"{one.work:.3f}x",
            f"{MOST_FOR_A_RELEASE}x {'met' if met else 'MISSED'}",
        )
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--regions", type=int, nargs="+", default=[2, 8, 16, 34])
    parser.add_argument("--near", action="store_true", help="leave the slow network out")
    parser.add_argument("--release", action="store_true", help="what a release costs, alone")
    parser.add_argument("--pairs", type=int, default=5, help="runs with, and without a release")
    arguments = parser.parse_args()
    console = Console()
    build = built()
    files = [path for path in build.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    console.print(f"{len(files)} files, {size:.0f} MB built; {os.cpu_count()} processors")
    places = {"near": ()} if arguments.near else {"near": (), "far": SLOW}
    table = Table(
        "S3", "Objects are", "Regions", "N x sam package", "foothold package", "Ratio", "Goal",
        "Memory", title="Package once, fan out", title_justify="left",
    )  # fmt: skip
    for where, options in ({} if arguments.release else places).items():
        for row in measure(build, where, options, arguments.regions, console):
            goal = GOALS.get((row.where, row.state, row.regions))
            table.add_row(
                row.where,
                "missing" if row.state == "cold" else "there",
                str(row.regions),
                f"{row.loop:.1f} s",
                f"{row.ours:.2f} s",
                f"{row.ratio:.1f}x",
                f"{goal}x {'met' if row.ratio >= goal else 'MISSED'}" if goal else "",
                f"{row.megabytes:.0f} MB{'' if row.megabytes <= MOST_MEMORY else ' TOO MUCH'}",
            )
    if not arguments.release:
        console.print(table)
        console.print("Every template of every region is byte for byte sam package's.")
    regions = REGIONS[: max(arguments.regions)]
    found = [
        cost
        for where, options in places.items()
        for cost in costs(build, where, options, regions, arguments.pairs)
    ]
    show_costs(found, len(regions), console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
