"""A sample of every proof, on every run of the tests; `make prove-full` runs the whole."""

import pytest

from proof.__main__ import CHECKS
from proof.report import Check, timed
from proof.result import Scale


@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
def test_no_case_of_the_sample_fails(check: Check) -> None:
    result = timed(check, Scale()).result
    assert result.failures == ()
    assert result.cases > 0
