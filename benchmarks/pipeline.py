"""The expansion of pipelines, measured: `python benchmarks/pipeline.py`.

Linearity is a ratio of runs side by side on this machine; time and memory of the largest pipeline
are set against their goals, in a process of its own that does what the macro's function does.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from foothold.cli.picture import svg
from foothold.pipelines.macro import expand_template
from foothold.stores.register import ArtifactStore

HOME = "eu-central-1"
TARGETS, REGIONS = 10, 34
ROUNDS = 15
GOAL_SECONDS, GOAL_MEGABYTES = 0.5, 128
MACRO = """
import json, resource, sys, time
from foothold.stores.register import ArtifactStore
from foothold.stores.published import Published
from foothold.pipelines.macro import answer_macro
event, stores = json.load(sys.stdin)
known = {region: ArtifactStore(region, *store) for region, store in stores.items()}
class Known:
    def ready(self):
        return Published(known)
began = time.perf_counter()
answer = answer_macro(event, Known())
seconds = time.perf_counter() - began
assert answer["status"] == "success", answer
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(json.dumps(answer)))
"""


def main() -> None:
    console = Console(highlight=False)
    table = Table("Targets", "Actions", "of 1 target", "Time", "of 1 target", "Time / actions")
    counts = (1, 2, 5, TARGETS)
    times = timed(*(lambda count=count: expanded(count) for count in counts))
    actions = [3 + count * (2 * REGIONS + 1) for count in counts]
    for count, made, seconds in zip(counts, actions, times, strict=True):
        more, longer = made / actions[0], seconds / times[0]
        table.add_row(
            f"{count} x {REGIONS} regions",
            str(made),
            f"{more:.2f}",
            f"{seconds * 1000:.1f} ms",
            f"{longer:.2f}",
            f"{longer / more:.2f}",
        )
    console.print("Expansion grows with its actions: the last column stays near, or under, 1.")
    console.print(table)

    seconds, megabytes, size = in_the_function()
    console.print(
        f"The macro's whole work for {TARGETS} x {REGIONS}: {seconds:.3f} s, "
        f"{GOAL_SECONDS / seconds:.0f} times within the goal of {GOAL_SECONDS} s; "
        f"peak memory of its process {megabytes:.0f} MB of {GOAL_MEGABYTES} MB; "
        f"answer {size / 1e6:.2f} MB."
    )
    resource = expanded(TARGETS)["Resources"]["Pipeline"]
    drawing, expansion = timed(lambda: svg(resource, HOME), lambda: expanded(TARGETS))
    console.print(f"Drawing it takes {drawing / expansion:.2f} of the time of expanding it.")


def timed(*works: Callable[[], Any]) -> list[float]:
    """The median of ROUNDS runs of each, in seconds; the runs take turns."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for times, work in zip(found, works, strict=True):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
    return [median(times) for times in found]


def fragment(targets: int) -> dict[str, Any]:
    topic = f"arn:aws:sns:{HOME}:111111111111:releases"
    properties = {
        "Name": "orders",
        "Source": {"S3": {"Bucket": "sources", "Key": "orders.zip"}},
        "Targets": [
            {
                "Name": f"T{number}",
                "Account": f"{number:012d}",
                "Stack": "orders",
                "Regions": "follow",
                "Approval": {"Topic": topic},
                "Parameters": {"Stage": "test", "Size": 3},
            }
            for number in range(targets)
        ],
    }
    return {"Resources": {"Pipeline": {"Type": "Foothold::Pipeline", "Properties": properties}}}


def stores(regions: int) -> dict[str, ArtifactStore]:
    names = [HOME, *(name for name in boto3.Session().get_available_regions("ssm") if name != HOME)]
    return {
        name: ArtifactStore(
            name,
            f"foothold-111111111111-{name}-an",
            f"arn:aws:kms:{name}:111111111111:key/11111111-2222-3333-4444-555555555555",
        )
        for name in names[:regions]
    }


KNOWN = stores(REGIONS)


def expanded(targets: int) -> dict[str, Any]:
    return expand_template(fragment(targets), KNOWN, HOME, {})


def in_the_function() -> tuple[float, float, int]:
    """Seconds, peak megabytes and bytes of the answer, in a fresh process."""
    event = {
        "requestId": "1",
        "region": HOME,
        "fragment": fragment(TARGETS),
        "templateParameterValues": {},
    }
    known = {name: (store.bucket, store.key_arn) for name, store in KNOWN.items()}
    done = subprocess.run(
        [sys.executable, "-c", MACRO],
        input=json.dumps([event, known]),
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes, size = done.stdout.split()[-3:]
    return float(seconds), float(megabytes), int(size)


if __name__ == "__main__":
    main()
