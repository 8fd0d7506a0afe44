"""The process is killed, not the exception handled: SIGKILL to a real one, at any call.

The cloud outlives the process: it is kept by the parent, and the child's calls go to it through
a pipe.
"""

import io
import os
import random
import signal
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

from botocore.response import StreamingBody

from proof.cloud import Call, Cloud, Json, Refused, footprint
from proof.faults import lengths, singles, undisturbed
from proof.flows import FLOWS, Flow, ask_all_turns, run
from proof.house import house
from proof.result import Result, Scale

BEFORE, AFTER = 0, 1


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
        far = FarCloud(there)
        far.clock = cloud.clock
        run(flow, far)
        os._exit(0)
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
        answer = cloud.perform(call)
    except Refused as refused:
        return refused
    if "Body" in answer:
        answer["Body"] = answer["Body"].read()
    return answer


def kills(scale: Scale) -> Result:
    """SIGKILL before or after a call takes effect; then the same request once more."""
    cases = [(c.flow, *one) for c in singles(lengths(), range(2)) for one in c.runs[0].items()]
    chosen = cases if scale.full else random.Random(scale.seed).sample(cases, 24)
    failures: list[str] = []
    with house():
        for number, call, when in chosen:
            failures += after_the_kill(FLOWS[number], call, when)
    return Result(len(chosen), tuple(failures))


def after_the_kill(flow: Flow, call: int, when: int) -> Sequence[str]:
    expected = undisturbed(flow)
    cloud = flow.begin()
    title = f"{flow.name}: SIGKILL {'after' if when == AFTER else 'before'} call {call}"
    if not kill_at(flow, cloud, call, when):
        return [f"{title}: the flow ended first"]
    cloud.answers.clear()
    error = ask_all_turns(flow, cloud)
    left = footprint(cloud)
    if error or left != expected.left or len(cloud.answers) != flow.answers:
        return [f"{title}: {error or left.orphans or 'another state than undisturbed'}"]
    return []
