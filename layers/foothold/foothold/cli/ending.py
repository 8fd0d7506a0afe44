"""How the command line ends when somebody or something ends it: in one line."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FAILED, WRONG_USE = 1, 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@contextmanager
def one_line_at_the_end() -> Iterator[None]:
    """Turn an interruption, and output that cannot be written, into one line on stderr."""
    try:
        yield
    except KeyboardInterrupt:
        code, line = INTERRUPTED, "interrupted"
    except OSError as error:
        if error.errno == errno.EPIPE:
            line = "nobody reads the output any more"
        else:
            where = f" {error.filename}" if error.filename else ""
            line = f"cannot read or write{where}: {error.strerror or error}"
        code = FAILED
    else:
        return
    with suppress(OSError, ValueError):
        sys.stderr.write(f"foothold: {line}\n")
        sys.stderr.flush()
    _forget_what_is_not_written()
    raise SystemExit(code)


def _forget_what_is_not_written() -> None:
    """Python writes the rest of its buffers when it ends, which would fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
