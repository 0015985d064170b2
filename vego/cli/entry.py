"""Runs one command and turns whatever happens into an exit status; no error of ours ends in a traceback."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from lance_fmt import FormatError
from vego.cli.arguments import parse
from vego.errors import InvalidArgumentError, VegoError
from vego.signals import close_on_sigterm
from vego_tools.terminal import printable

OK, ERROR = 0, 2
INTERRUPTED = 130  # 128 + SIGINT, what shells report
PIPE_CLOSED = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `vego` with these arguments (those of the process if None) and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows "?"
    if arguments is None:  # a process of our own
        with suppress(InvalidArgumentError):  # whoever started it wants SIGTERM ignored
            close_on_sigterm()
    try:
        options = parse(sys.argv[1:] if arguments is None else list(arguments))
        status = int(options.run(options))
        if sys.stdout is not None:  # there is none where it was closed, as by `>&-`
            sys.stdout.flush()
    except SystemExit as leaving:  # --help and --version
        return leaving.code if isinstance(leaving.code, int) else OK
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return _pipe_closed()
    except OSError as error:
        return _failed(_system_error(error), ERROR)
    except (VegoError, FormatError) as error:
        return _failed(str(error), ERROR)
    finally:
        if (
            arguments is None
        ):  # the process ends: its last collection would go through all objects of numba (0.2 s)
            gc.freeze()
    return status


def _failed(message: str, status: int) -> int:
    if sys.stderr is not None:
        print(f"vego: {printable(message)}", file=sys.stderr)
    return status


def _system_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"


def _pipe_closed() -> int:
    """The reader has seen enough; what is still buffered must not fail again when Python ends."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return PIPE_CLOSED
