"""The page of the proof, written line by line."""

from pathlib import Path

import pytest

from proof import report
from proof.report import Check, timed, write
from proof.result import Result, Scale


def test_a_line_that_was_not_run_stays_as_it_was_with_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "proof.md"
    monkeypatch.setattr(report, "PAGE", page)
    checks = [
        Check(name, f"what {name} proves", lambda _scale: Result(7, (), ("a note",)))
        for name in ("one", "two")
    ]
    scale = Scale(full=True)
    write([timed(check, scale) for check in checks], scale, checks)
    page.write_text(page.read_text().replace("| 7 | 0 |", "| 5,000 | 0 |"))
    write([timed(checks[1], scale)], scale, checks)
    lines = page.read_text().splitlines()
    (one, two, total) = [
        line for line in lines if line.startswith(("| what o", "| what t", "| all"))
    ]
    assert one.startswith("| what one proves | 5,000 | 0 | ")
    assert two.startswith("| what two proves | 7 | 0 | ")
    assert total.startswith("| all | 5,007 | 0 | ")
    assert lines.count("- what one proves: a note") == lines.count("- what two proves: a note") == 1
