"""Change the deciding modules, one small change at a time: some test has to notice.

A mutator of our own, because the known ones start a process and import everything for each
mutant: here one process imports what never changes, and each mutant is a fork of it that imports
the changed module in the place of the real one. Wording is not mutated: what a message says is
for people.
"""

import ast
import gc
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from proof.result import Result, Scale, side_by_side, total

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "layers" / "foothold"
LONGEST_TEXT = 70
SAMPLE = 10  # mutants of each module
# A test that takes longer than these never ends, which is noticed. None takes a tenth of them, and
# other programs take nothing of its own processor time.
SECONDS = 30
PROCESSOR_SECONDS = 10


@dataclass(frozen=True)
class Subject:
    """A module below `folder`, and the tests that speak of it alone, the quickest first; none
    of them takes so many seconds of processor time."""

    module: str
    tests: tuple[str, ...]
    folder: str = str(SOURCES)
    processor_seconds: float = PROCESSOR_SECONDS

    @property
    def path(self) -> Path:
        return Path(self.folder, f"{self.module.replace('.', '/')}.py")

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())


SUBJECTS = (
    Subject(
        "foothold.stores.planner",
        (
            "tests/stores/test_planner.py",
            "tests/stores/test_beside.py",
            "tests/stores/test_two_control_planes.py",
            "tests/stores/test_retirement.py",
        ),
    ),
    Subject(
        "foothold.stores.ownership",
        (
            "tests/stores/test_ownership.py",
            "tests/stores/test_planner.py",
            "tests/stores/test_beside.py",
            "tests/stores/test_two_control_planes.py",
            "tests/stores/test_retirement.py",
        ),
    ),
    Subject(
        "foothold.stores.aspects",
        (
            "tests/stores/test_aspects.py",
            "tests/stores/test_event_patterns.py",
            "tests/stores/test_planner.py",
        ),
    ),
    Subject("foothold.stores.policies", ("tests/stores/test_policies.py",)),
    Subject(
        "foothold.stores.triggers",
        ("tests/stores/test_triggers.py", "tests/stores/test_event_patterns.py"),
    ),
    Subject("foothold.stores.register", ("tests/stores/test_register.py",)),
    Subject("foothold.explain.evaluate", ("tests/explain/test_evaluate.py",)),
    Subject(
        "foothold.stores.custom_resource.request",
        (
            "tests/stores/custom_resource/test_request.py",
            "tests/stores/custom_resource/test_claims.py",
        ),
    ),
    Subject(
        "foothold.stores.custom_resource.reply",
        (
            "tests/stores/custom_resource/test_reply_bodies.py",
            "tests/stores/custom_resource/test_request.py",
            "tests/stores/custom_resource/test_reply_tries.py",
            "tests/stores/custom_resource/test_reply.py",
        ),
    ),
)

NO_STRICTNESS = "JSON has no value that strictness alone refuses, and nobody changes or prints it"

TYPE = "the name of a type, which nothing looks at while it runs"

# Mutants that change nothing a caller can see, by module and name, each with the reason.
EQUIVALENT: Mapping[str, Mapping[str, str]] = {
    "foothold.stores.planner": {
        "use_of_new: '' -> '-mutated'": "only the names of the parameters are looked at",
        "_keeps_longer: 0 -> 1": "both are less than our 30 days",
    },
    "foothold.stores.ownership": {
        "refuse_to_take_away: '' -> '-mutated'": "without a key no tags of it were read",
    },
    "foothold.stores.triggers": {
        f"{model}: model_config = STRICT -> model_config = None": NO_STRICTNESS
        for model in ("_Envelope", "_RegionOptIn", "_ParameterChanged", "_ApiCall")
    },
    "foothold.explain.evaluate": {
        "Json: Json = Mapping[str, Any] -> Json = None": TYPE,
        "Compare: Compare = Callable[[str, str], Verdict] -> Compare = None": TYPE,
    },
    "foothold.stores.custom_resource.request": {
        "_Request: model_config = STRICT -> model_config = None": NO_STRICTNESS,
        "_refuse_too_many: ArtifactStore(region, 'b' * 63, f\"arn:{partition_of(region).name}:kms:"
        " -> ArtifactStore(None, 'b' * 63, f\"arn:{partition_of(region).name}:kms:{r": (
            "the answer names regions by their place in it"
        ),
    },
    "foothold.stores.custom_resource.reply": {
        "failure: 12 -> 13": "smaller slices, cut more often: of one long text as much is left",
        "_destination: '' -> '-mutated'": "neither is the origin of anything",
    },
}

# What every test imports, and no mutant changes.
NEVER_MUTATED = (
    *("pytest", "_pytest.helpconfig", "_pytest.unittest", "_pytest.unraisableexception"),
    *("hypothesis", "boto3", "botocore.stub", "moto", "moto.events.models", "moto.s3.models"),
    *("pydantic", "pydantic.main", "pydantic.fields", "aws_lambda_powertools", "rich", "typer"),
)

OPTIONS = ("-q", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider")

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitOr: ast.BitAnd,
    ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
}  # fmt: skip


NOTHING = ast.Constant(value=None)


# --- Mutants --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One small change: `field` of `node` becomes `value`. Its name says where it is and what
    is changed, without a line number, so that it lasts while lines move."""

    name: str
    line: int
    node: ast.AST
    field: str
    value: Any


def mutants_of(tree: ast.Module) -> list[Mutant]:
    """Every mutant of a module, in the order of its source; the tree stays as it is."""
    found, names = [], Counter[str]()
    for where, node in _walk(tree, ""):
        for field, value in _changes(node):
            real, before = getattr(node, field), _text(node)
            setattr(node, field, value)
            after = _text(node)
            setattr(node, field, real)
            if after == before:
                continue
            name = f"{where}: {_shortened(before, after)}"
            names[name] += 1
            if names[name] > 1:
                name += f" #{names[name]}"
            found.append(Mutant(name, getattr(node, "lineno", 0), node, field, value))
    return found


def _shortened(before: str, after: str) -> str:
    """Both, from a little before the place where they differ."""
    pairs = enumerate(zip(before, after, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), 0)
    start = max(0, min(first - LONGEST_TEXT // 2, len(before) - LONGEST_TEXT))
    return f"{before[start:][:LONGEST_TEXT]} -> {after[start:][:LONGEST_TEXT]}"


def _text(node: ast.AST) -> str:
    match node:
        case ast.If(test=test):
            return f"if {ast.unparse(test)}"
        case ast.While(test=test):
            return f"while {ast.unparse(test)}"
        case _:
            return ast.unparse(node)


def _changes(node: ast.AST) -> Iterator[tuple[str, Any]]:  # noqa: C901, PLR0912  one case a kind
    """Each field of this node that can be changed, with what it becomes."""
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                if type(op) in SWAPPED:
                    yield "ops", [*ops[:index], SWAPPED[type(op)](), *ops[index + 1 :]]
        case ast.BoolOp() | ast.BinOp() if type(node.op) in SWAPPED:
            yield "op", SWAPPED[type(node.op)]()
        case ast.UnaryOp(op=ast.Not()):
            # `not not x`: the double negation is only a truth value again.
            yield "operand", ast.UnaryOp(ast.Not(), node.operand)
        case ast.Constant(value=bool()):
            yield "value", not node.value
        case ast.Constant(value=int() | float() as number):
            yield "value", number + 1
        case ast.Constant(value=str() as text):
            yield "value", f"{text}-mutated"
        case ast.If() | ast.IfExp() | ast.While():
            yield "test", ast.Constant(value=True)
            yield "test", ast.Constant(value=False)
        case ast.Return(value=ast.expr()) | ast.Assign() | ast.AnnAssign(value=ast.expr()) if (
            not isinstance(node.value, ast.Constant)
        ):
            yield "value", NOTHING
        case ast.AugAssign() if type(node.op) in SWAPPED:
            yield "op", SWAPPED[type(node.op)]()
        case ast.Lambda(body=body) if not isinstance(body, ast.Constant):
            yield "body", NOTHING
        case ast.Call():
            yield from _changes_of_a_call(node)
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            yield "value", ast.Constant(value=...)
        case _:
            pass


def _changes_of_a_call(call: ast.Call) -> Iterator[tuple[str, Any]]:
    """None in the place of each argument in turn; and the call without each that has a name."""
    for index, argument in enumerate(call.args):
        if argument is not _reason_of(call) and _says_something(argument):
            yield "args", [*call.args[:index], NOTHING, *call.args[index + 1 :]]
    for index, keyword in enumerate(call.keywords):
        before, after = call.keywords[:index], call.keywords[index + 1 :]
        yield "keywords", [*before, *after]
        if _says_something(keyword.value):
            yield "keywords", [*before, ast.keyword(keyword.arg, NOTHING), *after]


def _says_something(argument: ast.expr) -> bool:
    is_nothing = isinstance(argument, ast.Constant) and not argument.value
    return not is_nothing and not isinstance(argument, ast.Starred) and not _is_wording(argument)


def _reason_of(node: ast.AST) -> ast.expr | None:
    """Why a step is taken: what it says is for people."""
    match node:
        case ast.Call(func=ast.Name(id="KeepStep" | "RetireStep" | "_set"), args=[_, reason, *_]):
            return reason
        case _:
            return None


def _walk(node: ast.AST, where: str) -> Iterator[tuple[str, ast.AST]]:
    """All nodes below with the name of what they belong to, but for annotations, docstrings, and
    the wording of errors and logs."""
    reason = _reason_of(node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and child is not reason and not _is_wording(child):
                inner = _within(child, where)
                yield inner, child
                yield from _walk(child, inner)


def _within(node: ast.AST, where: str) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return f"{where}.{name}" if where else name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return where or name
        case _:
            return where


def _is_wording(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr() | ast.Raise() | ast.Assert():
            return True
        case ast.Import() | ast.ImportFrom() | ast.Assign(targets=[ast.Name("reason" | "logger")]):
            return True
        case (
            # What types are called, and what is logged.
            ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar")) | ast.BinOp(op=ast.BitOr()))
            | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger"))))
        ):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in ("PydanticCustomError", "Ignored", "Partition")
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case _:
            return False


# --- Running them ---------------------------------------------------------------------------------


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a tree instead of its file."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        self._module, self._path, self._tree = module, path, tree

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        if name != self._module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(self._path))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._path)
        whole = ast.fix_missing_locations(self._tree)
        exec(compile(whole, str(self._path), "exec"), vars(module))  # noqa: S102  the mutant


def survives(subject: Subject, tree: ast.Module, mutant: Mutant | None) -> bool:
    """Whether every test passes on this mutant of the tree, or on the tree itself. Runs in a
    fork of this process, which must not have imported the module, and has little in memory: at
    its end pytest collects the garbage of all that the fork inherits."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _limit(subject)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            if mutant:
                setattr(mutant.node, mutant.field, mutant.value)
            sys.meta_path.insert(0, Changed(subject.module, subject.path, tree))
            import pytest

            code = int(pytest.main(["-x", *OPTIONS, *subject.tests], plugins=[Examples(subject)]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


class Examples:
    """Runs examples before properties, which take longer, and gives each the same time."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        from hypothesis import is_hypothesis_test

        items.sort(key=lambda item: is_hypothesis_test(item.obj))

    def pytest_runtest_setup(self) -> None:
        _limit(self._subject)


def _limit(subject: Subject) -> None:
    """From now on: each of these signals ends the process."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    signal.setitimer(signal.ITIMER_PROF, subject.processor_seconds)


# Number of a subject and of its mutant; None is the module as it is.
Case = tuple[int, int | None]


def work(subjects: Sequence[Subject], cases: Sequence[Case]) -> list[Case]:
    """Those of these mutants that survive. For a process of its own."""
    for name in NEVER_MUTATED:
        __import__(name)
    from hypothesis import HealthCheck, Phase, settings

    # The same examples in every run, and of a failure only that there is one.
    settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")
    gc.freeze()
    trees = [subject.tree for subject in subjects]
    mutants = [mutants_of(tree) for tree in trees]
    return [
        (number, which)
        for number, which in cases
        if survives(
            subjects[number], trees[number], None if which is None else mutants[number][which]
        )
    ]


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def environment(**more: str) -> dict[str, str]:
    """That of a process which imports this checkout, whatever is installed. No plugin of pytest
    is looked for: no test of ours needs one."""
    path = [str(ROOT), str(SOURCES), os.environ.get("PYTHONPATH", "")]
    ours = {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    return os.environ | ours | more


def mutants(
    scale: Scale,
    subjects: Sequence[Subject] = SUBJECTS,
    equivalent: Mapping[str, Mapping[str, str]] = EQUIVALENT,
) -> Result:
    """A sample of the mutants of each deciding module, or all of them: each is noticed by a test,
    or is known to be equivalent and is not."""
    every = [mutants_of(subject.tree) for subject in subjects]
    cases: list[Case] = []
    for number, of_subject in enumerate(every):
        cases += [(number, None), *((number, which) for which in chosen(scale, len(of_subject)))]
    alive, failures = survivors(subjects, cases)
    notes = []
    for number, (subject, of_subject) in enumerate(zip(subjects, every, strict=True)):
        known = equivalent.get(subject.module, {})
        gone = known.keys() - {mutant.name for mutant in of_subject}
        failures += [f"{subject.module}: there is no mutant {name} (any more)" for name in gone]
        if (number, None) not in alive:
            failures.append(f"{subject.module}: its tests fail on the module as it is")
        ours = [of_subject[which] for of, which in cases if of == number and which is not None]
        left = [of_subject[which] for of, which in alive if of == number and which is not None]
        for mutant in ours:
            at = f"{subject.module} line {mutant.line}, {mutant.name}"
            if mutant in left and mutant.name not in known:
                failures.append(f"{at}: no test notices")
            if mutant not in left and mutant.name in known:
                failures.append(f"{at}: a test notices what is listed as equivalent")
        same = sum(mutant.name in known for mutant in left)
        notes.append(
            f"{subject.module}: of {len(ours)} mutants {len(ours) - len(left)} noticed, "
            f"{same} equivalent"
        )
    return Result(len(cases) - len(subjects), tuple(failures), tuple(notes))


def chosen(scale: Scale, count: int) -> Sequence[int]:
    """The numbers of the mutants to make, of so many: all, or a sample."""
    if scale.full or count <= SAMPLE:
        return range(count)
    return random.Random(scale.seed).sample(range(count), SAMPLE)


def survivors(subjects: Sequence[Subject], cases: Sequence[Case]) -> tuple[set[Case], list[str]]:
    """Those of the cases that survive, and what went wrong; in a process for each core."""
    cores = os.cpu_count() or 1
    processes = []
    for first in range(cores):
        asked = json.dumps([[asdict(subject) for subject in subjects], cases[first::cores]])
        command = command_of("-m", "proof.mutants", asked)
        processes.append(
            subprocess.Popen(
                command, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE
            )
        )
    alive: set[Case] = set()
    failures = []
    for process in processes:
        written, _ = process.communicate()
        if process.returncode:
            failures.append("the mutants could not be run")
        else:
            alive |= {(number, which) for number, which in json.loads(written.splitlines()[-1])}
    return alive, failures


# --- Coverage ---------------------------------------------------------------------------------


def coverage(_scale: Scale, subjects: Sequence[Subject] = SUBJECTS) -> Result:
    """Every branch of each deciding module is taken by its own tests."""
    return side_by_side(_covered, subjects)


def _covered(subjects: Sequence[Subject]) -> Result:
    return total(map(_covered_by_its_tests, subjects))


def _covered_by_its_tests(subject: Subject) -> Result:
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        answer = Path(folder, "coverage.json")
        here = environment(COVERAGE_FILE=f"{folder}/data")
        run = ("-m", "coverage", "run", "--branch", f"--include={subject.path}", "-m", "pytest")
        tested = subprocess.run(
            command_of(*run, *OPTIONS, *subject.tests), cwd=ROOT, env=here, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        if tested.returncode:
            return Result(1, (f"{subject.module}: its tests fail: {tested.stdout[-600:]}",))
        told = subprocess.run(
            command_of("-m", "coverage", "json", "-q", "-o", str(answer)),
            cwd=ROOT, env=here, check=False, capture_output=True,
        )  # fmt: skip
        if told.returncode:
            return Result(1, (f"{subject.module}: not imported by its tests",))
        (found,) = json.loads(answer.read_text())["files"].values()
    missing = [*found["missing_lines"], *map(tuple, found["missing_branches"])]
    branches = found["summary"]["num_branches"]
    failures = (f"{subject.module}: {missing} never taken",) if missing else ()
    return Result(branches, failures, (f"{subject.module}: {branches} branches",))


if __name__ == "__main__":
    told_subjects, told_cases = json.loads(sys.argv[1])
    alive = work([Subject(**one) for one in told_subjects], told_cases)
    print(json.dumps(alive))
