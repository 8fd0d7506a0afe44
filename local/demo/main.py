"""`make demo`: everything a newcomer wants to see, on the embedded AWS, in a few minutes."""

import os
import signal
import subprocess
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.embedded import FOLDER, FOLDER_VARIABLE, ROOT, Embedded, EmbeddedError
from local.demo import stores
from local.demo.console import DemoError, console, show
from local.demo.life import life_of_a_store
from local.demo.packaging import package_once
from local.demo.pipeline import pipeline
from local.demo.release import releases

CHAPTERS: tuple[tuple[str, Callable[[Embedded], None]], ...] = (
    ("A stack asks for two regions", stores.a_stack_asks),
    ("An event asks for a third", stores.an_event_asks),
    ("An operator asks for a fourth", stores.an_operator_asks),
    ("What there is now", stores.what_there_is),
    ("Who may read", stores.who_may_read),
    ("The life of a store", life_of_a_store),
    ("One build, packaged for every region", package_once),
    ("A pipeline, rehearsed in three accounts", pipeline),
    ("A second release, stopped by an alarm and rolled back", releases),
)


def main() -> int:
    """Run the demo on an embedded AWS of its own; KEEP=1 leaves that running. Returns the exit
    code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        embedded = own_embedded_aws()
    except EmbeddedError as error:
        console.print(f"[bold red]The demo failed:[/] {error}")
        return 1
    except KeyboardInterrupt:
        return interrupted()
    os.environ[FOLDER_VARIABLE] = str(embedded.folder)  # for every command from here on
    try:
        show("foothold", "local", "up")
        console.print(f"embedded AWS started: {embedded.endpoint}")
        embedded.deploy(say=console.print)
        for number, (title, chapter) in enumerate(CHAPTERS, start=1):
            console.rule(f"[bold]{number}. {title}", align="left")
            chapter(embedded)
    except KeyboardInterrupt:
        return interrupted()
    except (
        DemoError,
        EmbeddedError,
        subprocess.CalledProcessError,
        BotoCoreError,
        ClientError,
    ) as error:
        console.print(f"[bold red]The demo failed:[/] {error}")
        console.print(f"`make demo` starts anew; the embedded AWS's log: {embedded.log}")
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left half stopped
        leave(embedded)
    console.print(
        f"[bold green]Done.[/] {len(stores.REGIONS)} regions hold an artifact store: a stack, an "
        "event and an operator asked. The organisation's deploy roles read them, a foreign "
        "account does not; drift was repaired, a region retired and brought back; one build was "
        "packaged for all regions and deployed to two accounts; an alarm stopped a release after "
        "its first region, and the one before it came back, proved by each function's code."
    )
    return 0


def own_embedded_aws() -> Embedded:
    """An embedded AWS that nobody else has started, running: the checkout's, or one beside it."""
    for folder in (FOLDER, *(ROOT / f"{FOLDER.name}-{number}" for number in range(2, 100))):
        embedded = Embedded(folder)
        # Whoever runs there already is left alone, even where it does not answer.
        if embedded.pid is None and embedded.start():
            return embedded
        console.print(f"An embedded AWS of yours runs in {folder}: it is left alone.")
    raise EmbeddedError("a hundred embedded AWS run already: stop one with `make local-down`")


def leave(embedded: Embedded) -> None:
    """Stop what the demo has started, unless it is to be kept."""
    if os.environ.get("KEEP") != "1":
        show("foothold", "local", "down")
        embedded.stop()
        console.print("embedded AWS stopped")
        return
    stop = "make local-down" if embedded.folder == FOLDER else "foothold local down"
    console.print(
        f"KEEP=1: still running; `. {embedded.folder.relative_to(ROOT)}/env` uses it, and then "
        f"`{stop}` stops it."
    )


def interrupted() -> int:
    console.print("[bold red]The demo was interrupted:[/] `make demo` starts anew.")
    return 130
