"""Errors for people: what happened and what to do next, in one line, without a traceback."""

import io
import os
import select
import sys
from collections.abc import Callable
from typing import NoReturn


class PipelineError(Exception):
    """A mistake or a fault that the user can act on; its message says how."""


class Unreadable(Exception):
    """What stands at a commit cannot be said now; no PipelineError, which may mean: nothing."""


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage's `main` and exit: 0, or 1 with one line on standard error.

    What a terminal or log cannot show, as ± in ASCII, is replaced: nothing fails for that.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        main()
        sys.stdout.flush()
    except (PipelineError, Unreadable) as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # no space, no permission, a file that is gone
        if isinstance(error, BrokenPipeError) and _unread():
            sys.exit(1)
        if error.strerror is None:
            raise
        where = f": {error.filename}" if error.filename else ""
        sys.exit(f"error: {error.strerror}{where}")
    except (MemoryError, RuntimeError) as error:
        full = ("allocate", "out of memory")  # torch's own kinds, of CPU and GPU, have only words
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in full):
            raise
        sys.exit(
            "error: out of memory; free some, or lower hidden_sizes "
            "(training: batch_size, importance_samples, prior_components)"
        )
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _unread() -> bool:
    """Has whoever read our lines, as `head`, seen enough? Then the rest goes nowhere."""
    watch = select.poll()
    watch.register(sys.stdout, 0)
    gone = any(event & select.POLLERR for _, event in watch.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
    return gone
