"""What the tests of the deciding modules leave out is caught, shown on a module of three lines."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proof import mutants
from proof.mutants import Subject, mutants_of
from proof.result import Result, Scale

FULL = Scale(full=True)
HALF = """
def half(x):
    if x > 9:
        raise ValueError("too much")
    return x // 2
"""
WHOLE_TEST = """
import pytest
from half import half

def test_half():
    assert half(9) == 4
    with pytest.raises(ValueError):
        half(10)
"""
Tested = Callable[[str], Subject]


@pytest.fixture
def tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tested:
    """The module that halves, with these tests."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def subject(tests: str) -> Subject:
        (tmp_path / "half.py").write_text(HALF)
        (tmp_path / "test_half.py").write_text(tests)
        return Subject("half", (str(tmp_path / "test_half.py"),), str(tmp_path))

    return subject


def names(source: str) -> list[str]:
    return [mutant.name for mutant in mutants_of(ast.parse(source))]


def test_a_module_that_is_tested_as_it_should_be_passes(tested: Tested) -> None:
    subject = tested(WHOLE_TEST)
    covered, noticed = mutants.coverage(FULL, [subject]), mutants.mutants(FULL, [subject], {})
    assert (covered.cases, covered.failures) == (2, ())
    assert (noticed.cases, noticed.failures) == (len(names(HALF)), ())


def test_a_branch_that_no_test_takes_is_caught(tested: Tested) -> None:
    subject = tested("from half import half\n\ndef test_half():\n    assert half(9) == 4\n")
    (failure,) = mutants.coverage(FULL, [subject]).failures
    assert failure.startswith("half: [4, (3, 4)] never taken")


def test_a_mutant_that_no_test_notices_is_caught(tested: Tested) -> None:
    subject = tested(WHOLE_TEST.replace("half(10)", "half(11)"))
    (failure,) = mutants.mutants(FULL, [subject], {}).failures
    assert failure == "half line 3, half: 9 -> 10: no test notices"


@pytest.mark.parametrize("check", [mutants.coverage, mutants.mutants])
@pytest.mark.parametrize("tests", ["def test_half():\n    assert False\n", "import nothing\n", ""])
def test_tests_that_notice_nothing_because_they_always_fail_are_caught(
    tested: Tested, check: Callable[..., Result], tests: str
) -> None:
    assert any("its tests fail" in one for one in check(FULL, [tested(tests)]).failures)


def test_tests_that_never_see_their_module_are_caught(tested: Tested) -> None:
    subject = tested("def test_nothing():\n    assert 1 + 1 == 2\n")
    (failure,) = mutants.coverage(FULL, [subject]).failures
    assert failure == "half: not imported by its tests"


def test_what_is_wrongly_listed_as_equivalent_is_caught(tested: Tested) -> None:
    listed = {"half: x // 2 -> x * 2": "it is not", "half: x // 3 -> x * 3": "it is gone"}
    noticed, gone = sorted(mutants.mutants(FULL, [tested(WHOLE_TEST)], {"half": listed}).failures)
    assert noticed.endswith("x // 2 -> x * 2: a test notices what is listed as equivalent")
    assert gone == "half: there is no mutant half: x // 3 -> x * 3 (any more)"


def test_a_mutant_that_never_ends_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "down.py").write_text("def down(x):\n    while x > 0:\n        x -= 1\n")
    (tmp_path / "test_down.py").write_text("from down import down\n\ndef test():\n    down(3)\n")
    tests = (str(tmp_path / "test_down.py"),)
    subject = Subject("down", tests, str(tmp_path), processor_seconds=2)
    (endless,) = [
        number
        for number, one in enumerate(mutants_of(subject.tree))
        if one.name.endswith("-> while True")
    ]
    alive, failures = mutants.survivors([subject], [(0, None), (0, endless)])
    assert (alive, failures) == ({(0, None)}, [])


def test_of_a_real_module_only_its_own_tests_notice() -> None:
    its_tests, others = (
        Subject("foothold.stores.policies", (f"tests/stores/{path}",))
        for path in ("test_policies.py", "test_names.py")
    )
    every = mutants_of(its_tests.tree)
    number = next(n for n, one in enumerate(every) if "'Deny' -> " in one.name)
    alive, failures = mutants.survivors([its_tests, others], [(0, number), (1, number)])
    assert (alive, failures) == ({(1, number)}, [])


# --- Which mutants there are -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("g(b < c)", [": g(b < c) -> ...", ": g(b < c) -> g(None)", ": b < c -> b <= c"]),
        ("if a and b: pass", [": if a and b -> if True", ": if a and b -> if False",
                              ": a and b -> a or b"]),
        ("a = not b", ["a: a = not b -> a = None", "a: not b -> not not b"]),
        ("a = 1", ["a: 1 -> 2"]),
        ("a: int = b", ["a: a: int = b -> a: int = None"]),
        ("a += b", [": a += b -> a -= b"]),
        ("a = True", ["a: True -> False"]),
        ("a = 'b'", ["a: 'b' -> 'b-mutated'"]),
        ("def f():\n    return b if c else d", [
            "f: return b if c else d -> return None", "f: b if c else d -> b if True else d",
            "f: b if c else d -> b if False else d",
        ]),
        ("def f():\n    return b", ["f: return b -> return None"]),
        ("def f():\n    return None", []),
        ("lambda: a", [": lambda: a -> lambda: None"]),
        ("def f():\n    g()", ["f: g() -> ..."]),
        ("class C:\n    def f(self):\n        g()", ["C.f: g() -> ..."]),
        ("yield g(a, None, *b, c=d)", [
            ": yield g(a, None, *b, c=d) -> ...", ": g(a, None, *b, c=d) -> g(None, None, *b, c=d)",
            ": g(a, None, *b, c=d) -> g(a, None, *b)",
            ": g(a, None, *b, c=d) -> g(a, None, *b, c=None)",
        ]),
        ("KeepStep(a, 'reason', key=b)", [
            ": KeepStep(a, 'reason', key=b) -> ...",
            ": KeepStep(a, 'reason', key=b) -> KeepStep(None, 'reason', key=b)",
            ": KeepStep(a, 'reason', key=b) -> KeepStep(a, 'reason')",
            ": KeepStep(a, 'reason', key=b) -> KeepStep(a, 'reason', key=None)",
        ]),
        ("while True:\n    break", [": while True -> while False", ": True -> False"]),
        ("(1, 1)", [": 1 -> 2", ": 1 -> 2 #2"]),
    ],
)  # fmt: skip
def test_every_kind_of_change_is_named_by_where_and_what(source: str, changes: list[str]) -> None:
    assert names(source) == changes


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "raise ValueError('wording', 1)",
        "assert a == 1, 'wording'",
        "logger.warning('wording', 1)",
        "a: Literal['b']",
        "@d('b')\ndef f(a: 'b') -> 'c': pass",
        "from a import b",
        "f'wording {1}'",
    ],
)
def test_wording_and_annotations_are_left_alone(source: str) -> None:
    assert names(source) == []


@pytest.mark.parametrize("subject", mutants.SUBJECTS, ids=lambda subject: subject.module)
def test_every_mutant_has_a_name_of_its_own_that_lasts_when_lines_move(subject: Subject) -> None:
    source = subject.path.read_text()
    found = names(source)
    assert len(set(found)) == len(found) > 50
    assert names("import this_line_is_new\n" + source) == found


def test_looking_for_mutants_changes_nothing() -> None:
    tree = ast.parse(HALF)
    before = ast.dump(tree)
    assert mutants_of(tree)
    assert ast.dump(tree) == before


@given(st.integers(), st.integers(0, 500))
def test_a_seed_always_chooses_the_same_sample(seed: int, count: int) -> None:
    sample = mutants.chosen(Scale(seed=seed), count)
    assert list(sample) == list(mutants.chosen(Scale(seed=seed), count))
    assert len(set(sample)) == len(sample) == min(count, mutants.SAMPLE)
    assert list(mutants.chosen(Scale(full=True, seed=seed), count)) == list(range(count))


def test_another_seed_chooses_another_sample() -> None:
    assert mutants.chosen(Scale(seed=1), 500) != mutants.chosen(Scale(seed=2), 500)
