"""`make demo` starts an embedded AWS of its own, and leaves every other alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.aws.embedded import ROOT, Embedded, EmbeddedError
from local.demo import main as demo

Chapter = Callable[[Embedded], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the checkout's embedded AWS; the demo tells nothing but its frame."""
    folder = tmp_path / ".local"
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "FOLDER", folder)
    monkeypatch.setattr(Embedded, "deploy", lambda *_, **__: None)
    monkeypatch.delenv("KEEP", raising=False)
    monkeypatch.setenv("FOOTHOLD_LOCAL", "another")  # what the demo sets ends with the test
    interrupt, terminate = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield folder
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)
    for each in tmp_path.glob(".local*"):
        Embedded(each).stop()


def told(monkeypatch: pytest.MonkeyPatch, chapter: Chapter) -> int:
    """The exit code of a demo that consists of this chapter."""
    monkeypatch.setattr(demo, "CHAPTERS", (("The only chapter", chapter),))
    return demo.main()


def test_a_demo_beside_a_running_embedded_aws_starts_and_stops_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Embedded(folder)
    mine.start()
    before = mine.pid, mine.endpoint, (folder / "env").read_text()
    used: list[Embedded] = []
    assert told(monkeypatch, used.append) == 0
    assert (mine.pid, mine.endpoint, (folder / "env").read_text()) == before
    assert used[0].folder == folder.with_name(".local-2")
    assert used[0].pid is None
    assert f"runs in {folder}: it is left alone" in unwrapped(capsys)


def test_an_embedded_aws_that_does_not_answer_is_left_alone_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Embedded(folder)
    mine.start()
    assert mine.pid is not None
    os.kill(mine.pid, signal.SIGSTOP)
    try:
        assert told(monkeypatch, lambda _: None) == 0
    finally:
        os.kill(mine.pid, signal.SIGCONT)
    assert mine.session().client("sts").get_caller_identity()


def test_a_demo_alone_is_the_checkouts_and_keeps_it_where_it_is_asked_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEEP", "1")
    assert told(monkeypatch, lambda _: None) == 0
    assert Embedded(folder).pid is not None
    assert "`. .local/env` uses it, and then `make local-down` stops it" in unwrapped(capsys)
    assert told(monkeypatch, lambda _: None) == 0
    assert Embedded(folder.with_name(".local-2")).pid is not None
    assert "`. .local-2/env` uses it, and then `foothold local down` stops it" in unwrapped(capsys)


def unwrapped(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def interrupt(_: Embedded) -> None:
    raise KeyboardInterrupt


def fail(_: Embedded) -> None:
    raise EmbeddedError("no good")


def kill_the_server(aws: Embedded) -> None:
    assert aws.pid is not None
    client = aws.session().client("sts")
    os.killpg(aws.pid, signal.SIGKILL)
    client.get_caller_identity()


@pytest.mark.parametrize(
    "ending",
    [
        (interrupt, 130, "The demo was interrupted: `make demo` starts anew."),
        (fail, 1, "The demo failed: no good `make demo` starts anew"),
        (kill_the_server, 1, "The demo failed: Could not connect to the endpoint URL"),
    ],
)
def test_a_demo_that_ends_early_says_so_in_a_line_and_stops_what_it_started(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: tuple[Chapter, int, str],
) -> None:
    chapter, code, words = ending
    assert told(monkeypatch, chapter) == code
    assert words in unwrapped(capsys)
    assert Embedded(folder).pid is None


def test_what_was_started_is_stopped_where_the_deployment_is_interrupted_or_fails(
    tmp_path: Path,
) -> None:
    for raised, code, words in (
        ("KeyboardInterrupt", 130, "interrupted: `make local` starts anew"),
        ("EmbeddedError('no good')", 1, "error: no good"),
    ):
        script = (
            "import sys\n"
            "from local import __main__ as main\n"
            "from local.aws.embedded import Embedded, EmbeddedError\n"
            f"def deploy(self, say): raise {raised}\n"
            "Embedded.deploy = deploy\n"
            f"sys.argv = ['local', '--state', {str(tmp_path)!r}, 'up']\n"
            "sys.exit(main.main())\n"
        )
        run = [sys.executable, "-c", script]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, f"{words}\n")
        assert Embedded(tmp_path).pid is None
        # One that ran before goes on.
        aws = Embedded(tmp_path)
        aws.start()
        subprocess.run(run, cwd=ROOT, capture_output=True, check=False)
        assert aws.pid is not None
        aws.stop()
