"""A sample of every proof, on every run of the tests; `make prove-full` runs the whole."""

import re

import pytest

from proof.__main__ import CHECKS
from proof.house import ROOT
from proof.report import PAGE, Check, timed
from proof.result import Scale


@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
def test_no_case_of_the_sample_fails(check: Check) -> None:
    result = timed(check, Scale()).result
    assert result.failures == ()
    assert result.cases > 0


def test_the_page_tells_of_a_full_run_of_every_proof_without_a_failure() -> None:
    rows = re.findall(r"^\| (.+) \| ([\d,]+) \| ([\d,]+) \| [\d.]+ \|", PAGE.read_text(), re.M)
    assert [what for what, *_ in rows] == [*(check.what for check in CHECKS), "all"]
    assert all(cases != "0" and failed == "0" for _, cases, failed in rows)


def test_the_commands_of_the_page_are_targets() -> None:
    named = set(re.findall(r"`make ([\w-]+)", PAGE.read_text()))
    assert {"prove", "prove-full"} <= named
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert named <= set(targets)
