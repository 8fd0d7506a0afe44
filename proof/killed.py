"""The process is killed, not the exception handled: SIGKILL to a real one, at any call.

The cloud outlives the process: it is kept by the parent, and the child's calls go to it through
a pipe.
"""

import io
import os
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

from botocore.response import StreamingBody

from proof.cloud import Call, Cloud, Footprint, Json, Refused, footprint
from proof.faults import undisturbed
from proof.flows import FLOWS, Flow, ask_all_turns, run
from proof.house import house
from proof.result import Result, Scale, side_by_side

BEFORE, AFTER = 0, 1
SAMPLE = 60


class FarCloud(Cloud):
    """The cloud as the child sees it: every call is a question to the parent."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe
        self._one_at_a_time = Lock()

    def perform(self, call: Call) -> Json:
        body: Any = call.params.get("Body")
        if hasattr(body, "read"):
            call = replace(call, params={**call.params, "Body": body.read()})
        with self._one_at_a_time:
            self._pipe.send(call)
            answer = self._pipe.recv()
        if isinstance(answer, Refused):
            raise answer
        if isinstance(body := answer.get("Body"), bytes):
            answer["Body"] = StreamingBody(io.BytesIO(body), len(body))
        return dict(answer)


def kill_at(flow: Flow, cloud: Cloud, number: int, when: int) -> bool:
    """Run the flow in a process that is killed at call `number`; return whether it came to that."""
    here, there = Pipe()
    child = os.fork()
    if child == 0:
        here.close()
        try:
            far = FarCloud(there)
            far.clock = cloud.clock
            run(flow, far)
        finally:
            os._exit(0)  # whatever happened: it must not go on as its parent
    there.close()
    try:
        for count in range(1_000_000):
            call = here.recv()
            if count == number and when == BEFORE:
                return True
            answer = _performed(cloud, call)
            if count == number:
                return True
            here.send(answer)
    except EOFError:
        return False
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        here.close()
    return False


def _performed(cloud: Cloud, call: Call) -> Json | Refused:
    try:
        with cloud.in_use():  # a call may run another function, here
            answer = cloud.perform(call)
    except Refused as refused:
        return refused
    if "Body" in answer:
        answer["Body"] = answer["Body"].read()
    return answer


@dataclass(frozen=True)
class Kill:
    """A flow, the number of its call, and whether that call takes effect first."""

    flow: int
    call: int
    when: int

    def __str__(self) -> str:
        when = "after" if self.when == AFTER else "before"
        return f"{FLOWS[self.flow].name}: SIGKILL {when} call {self.call}"


def kills(scale: Scale) -> Result:
    """SIGKILL before the first call, or when any has taken effect; then the request once more."""
    cases = [
        Kill(flow, call, when)
        for flow, length in enumerate(_lengths())
        for call, when in ((0, BEFORE), *((call, AFTER) for call in range(length)))
    ]
    chosen = cases if scale.full else random.Random(scale.seed).sample(cases, SAMPLE)
    return side_by_side(killed, chosen)


def _lengths() -> list[int]:
    """How many calls each flow's own process makes: what another function is invoked for is done
    elsewhere, whatever becomes of whoever asked."""
    with house():
        return [sum(call.within is None for call in undisturbed(flow).calls) for flow in FLOWS]


def killed(cases: Sequence[Kill]) -> Result:
    """Kill each in this process's children."""
    failures: list[str] = []
    with house():
        expected: dict[int, Footprint] = {}
        for case in cases:
            if case.flow not in expected:
                expected[case.flow] = undisturbed(FLOWS[case.flow]).left
            failures += [f"{case}: {wrong}" for wrong in _wrong_after(case, expected[case.flow])]
    return Result(len(cases), tuple(failures))


def _wrong_after(case: Kill, expected: Footprint) -> Iterator[str]:
    flow = FLOWS[case.flow]
    cloud = flow.begin()
    if not kill_at(flow, cloud, case.call, case.when):
        yield "the flow ended first"
        return
    cloud.answers.clear()
    cloud.job_answers.clear()
    error = ask_all_turns(flow, cloud)
    left = footprint(cloud)
    if error:
        yield f"asked again: {error}"
    if left != expected:
        orphans = f"orphan {', '.join(left.orphans)}" if left.orphans else ""
        yield orphans or "another state than undisturbed"
    if len(cloud.answers) != flow.answers or len(cloud.job_answers) != flow.job_answers:
        yield f"{len(cloud.answers)} answers, {len(cloud.job_answers)} job answers"
