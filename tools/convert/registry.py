"""The formats: their names, the suffixes and first bytes that tell them, and the modules that read and write."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vego.errors import InvalidArgumentError
from vego_tools.convert.errors import ConversionError
from vego_tools.convert.source import Source, WriteOptions

Write = Callable[[Path, Any, Iterator[Any], WriteOptions], list[str]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: `module` has `open_source(path)` and `write(path, schema, batches, options)` for it.

    `write` takes pyarrow batches of a pyarrow schema and returns notes for the report. `package` is what has to
    be installed besides pyarrow, by `extra` of ours. A directory is a format without `magic` and `suffixes` of
    plain files: Lance.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    module: str
    magic: tuple[bytes, ...] = ()
    package: str = "pyarrow"
    extra: str = "arrow"

    def _loaded(self, path: Path) -> Any:
        from importlib.util import find_spec

        for package, extra in (("pyarrow", "arrow"), (self.package, self.extra)):
            if find_spec(package) is None:
                raise ConversionError(
                    f"{path}: {self.title} needs the package {package}; pip install 'vego[{extra}]'"
                )
        return import_module(f"vego_tools.convert.{self.module}")

    def open(self, path: Path) -> Source:
        """Open a file of this format. Raises ConversionError, OSError and errors of `lance_fmt`."""
        module = self._loaded(path)
        found: Source = (getattr(module, f"open_{self.name}", None) or module.open_source)(path)
        return found

    def writer(self, path: Path) -> Write:
        """The function that writes a file of this format."""
        module = self._loaded(path)
        found: Write = getattr(module, f"write_{self.name}", None) or module.write
        return found


FORMATS = {
    found.name: found
    for found in (
        Format("lfmt", ".lfmt", (".lfmt",), "lfmt", (b"LFMT",)),
        Format("parquet", "Parquet", (".parquet", ".pq", ".parq"), "parquet", (b"PAR1", b"PARE")),
        Format("arrow", "Arrow IPC (file)", (".arrow", ".feather", ".ipc"), "ipc", (b"ARROW1\0\0",)),
        Format("arrows", "Arrow IPC (stream)", (".arrows",), "ipc", (b"\xff\xff\xff\xff",)),
        Format("csv", "CSV", (".csv",), "csv_files"),
        Format("tsv", "tab-separated values", (".tsv", ".tab"), "csv_files"),
        Format("jsonl", "JSON Lines", (".jsonl", ".ndjson"), "json_lines"),
        Format("npy", "npy", (".npy",), "numpy_files", (b"\x93NUMPY",)),
        Format("npz", "npz", (".npz",), "numpy_files", (b"PK\x03\x04", b"PK\x05\x06")),
        Format("fvecs", "fvecs", (".fvecs",), "vecs"),
        Format("bvecs", "bvecs", (".bvecs",), "vecs"),
        Format("ivecs", "ivecs", (".ivecs",), "vecs"),
        Format("hdf5", "HDF5", (".hdf5", ".h5"), "hdf5", (b"\x89HDF\r\n\x1a\n",), "h5py", "hdf5"),
        Format("lance", "Lance", (".lance",), "lance_dataset", (), "lance", "lance"),
        Format("vortex", "Vortex", (".vortex", ".vtx"), "vortex_file", (b"VTXF",), "vortex", "vortex"),
    )
}
_BY_SUFFIX = {suffix: found for found in FORMATS.values() for suffix in found.suffixes}


def named(name: str) -> Format:
    """The format of a name, such as "parquet". Raises InvalidArgumentError."""
    found = FORMATS.get(name.lower().removeprefix("."))
    if found is None:
        near = difflib.get_close_matches(name, FORMATS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FORMATS)}"
        raise InvalidArgumentError(f"no format {name!r}; {hint}")
    return found


def is_lance(path: Path) -> bool:
    """Whether a directory is a Lance dataset."""
    return (path / "_versions").is_dir()


def of_source(path: Path) -> Format:
    """The format of an existing file: that of its first bytes, or of its name where no bytes tell it.

    Raises ConversionError for what no format claims, OSError for what cannot be read.
    """
    by_name = _BY_SUFFIX.get(path.suffix.lower())
    if path.is_dir():
        if is_lance(path) or by_name is FORMATS["lance"]:
            return FORMATS["lance"]
        raise ConversionError(f"{path}: a directory, and not a Lance dataset")
    with path.open("rb") as file:
        head = file.read(16)
    if not head and by_name is None:
        raise ConversionError(f"{path}: an empty file; say what it is with --from")
    if by_name is not None and (not by_name.magic or head.startswith(by_name.magic)):
        return by_name
    by_content = content(head)
    if by_content is not None:
        return by_content
    if by_name is not None:
        return by_name
    raise ConversionError(
        f"{path}: neither name nor first bytes ({head!r}) tell the format; say it with --from, one of "
        + ", ".join(FORMATS)
    )


def content(head: bytes) -> Format | None:
    """The format that a file's first bytes tell."""
    return next((f for f in FORMATS.values() if f.magic and head.startswith(f.magic)), None)


def of_destination(path: Path) -> Format:
    """The format that a name asks for. Raises InvalidArgumentError."""
    found = _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        raise InvalidArgumentError(
            f"{path}: the name does not tell the format; end it in one of {', '.join(_BY_SUFFIX)}, "
            f"or say it with --to"
        )
    return found
