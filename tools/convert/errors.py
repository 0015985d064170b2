"""What goes wrong with files of other formats, said in one line that names the file."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lance_fmt import FormatError
from vego.errors import VegoError

_LONGEST = 300


class ConversionError(VegoError, ValueError):
    """A file that cannot be read as what it is taken for, or data that a format cannot hold."""


def first_line(error: BaseException) -> str:
    """What a library says, on one line; the name of the error where it says nothing."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Turns whatever a library raises into a ConversionError that begins with `path`.

    `what` goes before the library's own words: "not readable as Parquet". Errors of the operating system (the
    file is not there, the disk is full) and our own pass as they are.
    """
    try:
        yield
    except (VegoError, FormatError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except ImportError as error:
        raise ConversionError(f"{path}: {first_line(error)}") from error
    except BaseException as error:  # libraries in Rust panic with a BaseException
        number = system_error(error)
        if number is not None:
            raise OSError(number, _reason(number), str(path)) from error
        raise ConversionError(f"{path}: {what}: {first_line(error)}") from error


def system_error(error: BaseException) -> int | None:
    """The errno of an error of the operating system, also where a library kept only its text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if "No space left on device" in str(error) or "StorageFull" in str(error):
        return errno.ENOSPC
    return None


def _reason(number: int) -> str:
    import os

    return os.strerror(number)


def needs(module: str, extra: str, path: Path) -> ConversionError:
    """The error for a format whose package is not installed."""
    return ConversionError(f"{path}: this format needs the package {module}; pip install 'vego[{extra}]'")
