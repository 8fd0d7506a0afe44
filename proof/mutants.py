"""Change the deciding modules, one small change at a time: some test has to notice.

A mutator of our own, because the known ones start a process and import everything for each
mutant: here one process imports what never changes, and each mutant is a fork of it that imports
the changed module in the place of the real one. Wording is not mutated: what a message says is
for people.
"""

import ast
import copy
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from proof.result import Result, Scale

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "layers" / "foothold"
GOAL = 0.9
SAMPLE = 4  # mutants of each module
SECONDS = 120  # a mutant that takes longer never ends: noticed


@dataclass(frozen=True)
class Subject:
    """A module, and the tests that speak of it."""

    module: str
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        return SOURCES / f"{self.module.replace('.', '/')}.py"


SUBJECTS = (
    Subject(
        "foothold.domain.planner",
        ("tests/stores/test_planner.py", "tests/stores/test_reconcile.py", "tests/lifecycle"),
    ),
    Subject(
        "foothold.domain.policies",
        ("tests/stores/test_policies.py", "tests/proof/test_decisions.py"),
    ),
    Subject("foothold.messages", ("tests/messages",)),
    Subject("foothold.domain.claims", ("tests/messages", "tests/custom_resource")),
    Subject("foothold.gateways.cfn_reply", ("tests/custom_resource",)),
)
# What every test imports, and no mutant changes.
NEVER_MUTATED = ("pytest", "hypothesis", "boto3", "moto", "pydantic", "aws_lambda_powertools")

# The same suites run on the fakes and on moto; the fakes tell as much of what is decided here.
OPTIONS = ("-q", "-p", "no:cacheprovider", "-m", "not embedded", "-k", "not moto")

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitOr: ast.BitAnd,
    ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
}  # fmt: skip


# --- Mutants --------------------------------------------------------------------------------------


def mutants_of(source: str) -> Iterator[tuple[str, str]]:
    """Each mutant of this source: what was changed where, and the whole changed source."""
    tree = ast.parse(source)
    count = sum(1 for _ in _places(tree))
    for number in range(count):
        changed = copy.deepcopy(tree)
        node, field, index = list(_places(changed))[number]
        before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else field
        _change(node, field, index)
        after = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else field
        line = getattr(node, "lineno", 0)
        yield (
            f"line {line}: {before[:70]} -> {after[:70]}",
            ast.unparse(ast.fix_missing_locations(changed)),
        )


Place = tuple[ast.AST, str, int]


def _places(tree: ast.AST) -> Iterator[Place]:  # noqa: C901  one case a kind of change
    """Every node that can be changed, with the field to change."""
    for node in _walk(tree):
        match node:
            case ast.Compare(ops=ops):
                for index, op in enumerate(ops):
                    if type(op) in SWAPPED:
                        yield node, "ops", index
            case ast.BoolOp() | ast.BinOp() if type(node.op) in SWAPPED:
                yield node, "op", -1
            case ast.UnaryOp(op=ast.Not()):
                yield node, "not", -1
            case ast.Constant(value=bool() | int() | float()):
                yield node, "number", -1
            case ast.Constant(value=str()):
                yield node, "text", -1
            case ast.If() | ast.IfExp() | ast.While():
                yield node, "true", -1
                yield node, "false", -1
            case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
                yield node, "nothing", -1
            case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
                yield node, "gone", -1


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, but for annotations, docstrings, and the wording of errors and logs."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_wording(child):
                yield child
                yield from _walk(child)


def _is_wording(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr() | ast.Raise() | ast.Assert():
            return True
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger")))):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in ("TypeVar", "Step", "PydanticCustomError", "Ignored", "Partition")
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


def _change(node: Any, field: str, index: int) -> None:
    match field:
        case "ops":
            node.ops[index] = SWAPPED[type(node.ops[index])]()
        case "op":
            node.op = SWAPPED[type(node.op)]()
        case "not":
            # `not not x`: the double negation is only a truth value again.
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
        case "number":
            node.value = not node.value if isinstance(node.value, bool) else node.value + 1
        case "text":
            node.value = f"{node.value}-mutated"
        case "true" | "false":
            node.test = ast.Constant(value=field == "true")
        case "nothing":
            node.value = ast.Constant(value=None)
        case "gone":
            node.value = ast.Constant(value=...)


# --- Running them ---------------------------------------------------------------------------------


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a text instead of its file."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self._module, self._path, self._source = module, path, source

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        if name != self._module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(self._path))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._path)
        exec(compile(self._source, str(self._path), "exec"), vars(module))  # noqa: S102  the mutant


def survives(subject: Subject, source: str) -> bool:
    """Whether every test passes on this source. Runs in a fork of this process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(SECONDS)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            sys.meta_path.insert(0, Changed(subject.module, subject.path, source))
            import pytest

            code = int(pytest.main(["-x", *OPTIONS, *subject.tests]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def work(module: str, numbers: Sequence[int]) -> list[str]:
    """Those of these mutants that survive. For a process that has not imported foothold."""
    subject = next(one for one in SUBJECTS if one.module == module)
    for name in NEVER_MUTATED:
        __import__(name)
    wanted = set(numbers)
    every = enumerate(mutants_of(subject.path.read_text()))
    return [
        what for number, (what, source) in every if number in wanted and survives(subject, source)
    ]


def _process(subject: Subject, numbers: Sequence[int]) -> "subprocess.Popen[str]":
    command = command_of("-m", "proof.mutants", subject.module, json.dumps(list(numbers)))
    return subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE)


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def environment(**more: str) -> dict[str, str]:
    """That of a process which imports this checkout, whatever is installed."""
    path = [str(ROOT), str(SOURCES), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))} | more


def mutants(scale: Scale) -> Result:
    """A sample of the mutants of each deciding module, or all of them."""
    cases, failures, notes = 0, [], []
    for subject in SUBJECTS:
        count = sum(1 for _ in mutants_of(subject.path.read_text()))
        numbers = list(range(count))
        if not scale.full:
            numbers = random.Random(scale.seed).sample(numbers, min(count, SAMPLE))
        shares = [numbers[first :: os.cpu_count() or 1] for first in range(os.cpu_count() or 1)]
        processes = [_process(subject, share) for share in shares if share]
        left: list[str] = []
        for process in processes:
            written, _ = process.communicate()
            if process.returncode:
                failures.append(f"{subject.module}: the mutants could not be run")
                continue
            left += json.loads(written.splitlines()[-1])
        score = 1 - len(left) / len(numbers)
        cases += len(numbers)
        notes.append(f"{subject.module}: {score:.0%} of {len(numbers)} noticed")
        # One in four of a sample may well be the one in ten that survives.
        if score < (GOAL if scale.full else 1 - 1 / SAMPLE):
            failures += [f"{subject.module} {one}: no test notices" for one in left]
        elif left:
            notes.append(f"{subject.module} survived by: {'; '.join(left)}")
    return Result(cases, tuple(failures), tuple(notes))


# --- Coverage ---------------------------------------------------------------------------------


def coverage(_scale: Scale) -> Result:
    """Every branch of the deciding modules is taken by their tests."""
    tests = sorted({test for subject in SUBJECTS for test in subject.tests})
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        data, answer = f"{folder}/data", Path(folder) / "coverage.json"
        here = environment(COVERAGE_FILE=data)
        include = ",".join(str(subject.path) for subject in SUBJECTS)
        run = command_of(
            "-m", "coverage", "run", "--branch", f"--include={include}", "-m", "pytest"
        )
        tested = subprocess.run(
            [*run, *OPTIONS, *tests], cwd=ROOT, env=here, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        if tested.returncode:
            return Result(1, (f"the tests fail: {tested.stdout[-600:]}",))
        subprocess.run(
            command_of("-m", "coverage", "json", "-q", "-o", str(answer)),
            cwd=ROOT, env=here, check=True, capture_output=True,
        )  # fmt: skip
        files = json.loads(answer.read_text())["files"]
    failures, branches = [], 0
    for subject in SUBJECTS:
        found = [value for name, value in files.items() if (ROOT / name) == subject.path]
        if not found:
            failures.append(f"{subject.module}: not imported by its tests")
            continue
        branches += found[0]["summary"]["num_branches"]
        missing = [*found[0]["missing_lines"], *map(tuple, found[0]["missing_branches"])]
        if missing:
            failures.append(f"{subject.module}: {missing} never taken")
    kinds = Counter(subject.module.split(".")[1] for subject in SUBJECTS)
    return Result(
        branches, tuple(failures), (f"branches of {len(SUBJECTS)} modules ({dict(kinds)})",)
    )


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], json.loads(sys.argv[2]))))
