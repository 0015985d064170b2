"""Damaged and foreign files of every format: one clear error, no crash, and nothing left behind."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lance_fmt
from vego.errors import InvalidArgumentError, VegoError
from vego_tools.convert import FORMATS, ConversionError, DifferenceError, convert
from vego_tools.convert import lfmt as lfmt_module
from vego_tools.convert import place as place_module

ERRORS = (VegoError, lance_fmt.FormatError, OSError)
BINARY = ["lfmt", "parquet", "arrow", "arrows", "npy", "npz", "fvecs", "hdf5", "vortex"]


def here(name: str) -> bool:
    """Whether the package that a format needs is installed."""
    package = FORMATS[name].package
    return not package or importlib.util.find_spec(package) is not None


BINARY = [name for name in BINARY if here(name)]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same vectors in every format."""
    room = tmp_path_factory.mktemp("samples")
    vectors = np.arange(1200, dtype=np.float32).reshape(300, 4) / 8
    lance_fmt.write(room / "a.lfmt", {"vector": vectors})
    found = {"lfmt": room / "a.lfmt"}
    for name, form in FORMATS.items():
        if name not in ("lfmt", "bvecs", "ivecs") and here(name):
            found[name] = room / f"a{form.suffixes[0]}"
            convert(found["lfmt"], found[name])
    return found


def left_in(room: Path) -> list[str]:
    return sorted(path.name for path in room.iterdir())


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a test leaves its sources (named s.*) only."""
    yield tmp_path
    assert [name for name in left_in(tmp_path) if not name.startswith("s.")] == []


def refused(source: Path, room: Path, **options: Any) -> str:
    """The message of the error that a conversion ends with."""
    with pytest.raises(ERRORS) as caught:
        convert(source, room / "out.lfmt", **options)
    text = str(caught.value)
    assert "\n" not in text
    assert str(source) in text
    return text


@pytest.mark.parametrize("name", BINARY)
def test_a_file_that_is_cut_off(samples: dict[str, Path], room: Path, name: str) -> None:
    whole = samples[name].read_bytes()
    path = room / f"s{samples[name].suffix}"
    for length in sorted({0, 1, 3, 5, 11, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 1}):
        path.write_bytes(whole[:length])
        if (name == "arrows" and length == len(whole) - 1) or (
            name == "fvecs" and length and length % 20 == 0
        ):
            continue  # a stream may end without its end mark, vectors anywhere between two
        refused(path, room)


@pytest.mark.parametrize("name", [n for n in BINARY if n not in ("npy", "fvecs", "arrow", "arrows", "hdf5")])
def test_flipped_bytes_are_errors_or_harmless(samples: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Formats with checksums or structure in most of their bytes; a flip in raw values cannot be seen."""
    whole = samples[name].read_bytes()
    path = tmp_path / f"s{samples[name].suffix}"
    rng = np.random.default_rng(3)
    for place in rng.integers(0, len(whole), 25):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            convert(path, tmp_path / "out.lfmt", overwrite=True)
        except ERRORS as error:
            assert "\n" not in str(error)
    assert set(left_in(tmp_path)) <= {path.name, "out.lfmt"}


@pytest.mark.parametrize("name", ["arrow", "arrows", "npy", "fvecs", "hdf5"])
def test_flipped_bytes_of_the_beginning(samples: dict[str, Path], tmp_path: Path, name: str) -> None:
    whole = samples[name].read_bytes()
    path = tmp_path / f"s{samples[name].suffix}"
    for place in range(0, min(len(whole), 400), 9):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            convert(path, tmp_path / "out.lfmt", overwrite=True)
        except ERRORS as error:
            assert "\n" not in str(error)
    assert set(left_in(tmp_path)) <= {path.name, "out.lfmt"}


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "lance" and here(n)])
def test_text_random_bytes_and_nothing(room: Path, name: str) -> None:
    path = room / f"s{FORMATS[name].suffixes[0]}"
    noise = np.random.default_rng(1).bytes(3000)
    for content in (b"", b"\0" * 64, noise, b"this is no such file\n" * 20):
        if (name in ("csv", "tsv") and content.startswith(b"this")) or (name == "jsonl" and not content):
            continue  # a column of text; no lines
        path.write_bytes(content)
        refused(path, room)


def test_a_file_by_another_name_is_what_its_bytes_are(samples: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "s.parquet").write_bytes(samples["npy"].read_bytes())
    assert convert(tmp_path / "s.parquet", tmp_path / "x.lfmt").source_format == "npy"
    (tmp_path / "s").write_bytes(samples["arrow"].read_bytes())
    assert convert(tmp_path / "s", tmp_path / "x.lfmt", overwrite=True).source_format == "Arrow IPC (file)"


def test_text_that_is_another_format_says_so(samples: dict[str, Path], room: Path) -> None:
    (room / "s.csv").write_bytes(samples["parquet"].read_bytes())
    assert "--from parquet" in refused(room / "s.csv", room)
    (room / "s.what").write_bytes(b"hello")
    assert "--from" in refused(room / "s.what", room)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        (b"a,b\n1,2\n3,4,5\n", "Expected 2 columns, got 3"),
        (b"a,b\n1,x\n2,\xff\xfe\n", "row 1 (line 3 where no value has a line break), column 'b': not UTF-8"),
        (b"a,a\n1,2\n", "line 1: column 'a' occurs more than once"),
        (b"\n\n", "empty"),
        (b"a,b\n1,\0\n", "byte 6 is 0"),
    ],
)
def test_bad_csv(room: Path, content: bytes, message: str) -> None:
    (room / "s.csv").write_bytes(content)
    assert message in refused(room / "s.csv", room)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a":1}\n{"a":"x"}\n', "line 2: 'a' is text, and a number in line 1"),
        (b'{"a":1}\n{"a":[1]}\n', "line 2: 'a' is a list, and a number in line 1"),
        (b'{"a":1}\n\n{"a":\n', "line 3, column 6: not JSON"),
        (b'{"a":1}\n{"a":"\xff"}\n', "line 2: not UTF-8"),
        (b'{"a":1}\n[1,2]\n', "line 2: a list where an object is expected"),
        (b"1\n", "line 1: a number where an object is expected"),
    ],
)
def test_bad_json_lines(room: Path, content: bytes, message: str) -> None:
    (room / "s.jsonl").write_bytes(content)
    assert message in refused(room / "s.jsonl", room)


def test_types_that_change_far_below(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vego_tools.convert import json_lines

    monkeypatch.setattr(json_lines, "_BLOCK", 64)
    lines = [f'{{"n":{n}}}' for n in range(50)]
    (room / "s.jsonl").write_text("\n".join([*lines, '{"n":"x"}']))
    assert "line 51: 'n' is text, and a number in line 1" in refused(room / "s.jsonl", room)


def test_objects_of_python_are_never_loaded(room: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(room / "trapped"),))

    trap = np.array([Trap(), None], dtype=object)
    np.save(room / "s.npy", trap, allow_pickle=True)
    np.savez(room / "s.npz", trap=trap)
    for name in ("s.npy", "s.npz"):
        assert "never unpickled" in refused(room / name, room)


def test_bad_arrays(room: Path) -> None:
    np.save(room / "s.npy", np.float32(1))
    assert "one value and no rows" in refused(room / "s.npy", room)
    np.save(room / "s.npy", np.zeros(3, complex))
    assert "complex128" in refused(room / "s.npy", room)
    np.savez(room / "s.npz", a=np.zeros(3), b=np.zeros(4))
    assert "'a' (3 rows), 'b' (4 rows); choose some of one length with --columns" in refused(
        room / "s.npz", room
    )
    header = (
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(117)
        + b"\n"
    )
    (room / "s.npy").write_bytes(header + b"\0" * 80)
    assert "80 bytes of values, expected 799,999,999,999,992" in refused(room / "s.npy", room)


def test_bad_vectors(room: Path) -> None:
    row = np.int32(2).tobytes() + bytes(8)
    (room / "s.fvecs").write_bytes(row + np.int32(3).tobytes() + bytes(8))
    assert "row 1 has dimension 3, expected 2" in refused(room / "s.fvecs", room)
    (room / "s.fvecs").write_bytes(row + row[:-1])
    assert "row 1 is cut off" in refused(room / "s.fvecs", room)
    (room / "s.fvecs").write_bytes(np.int32(-1).tobytes())
    assert "dimension -1" in refused(room / "s.fvecs", room)


def test_hdf5_without_the_datasets(room: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(room / "s.hdf5", "w") as file:
        file.create_group("results")
    assert "expected train" in refused(room / "s.hdf5", room)
    with h5py.File(room / "s.hdf5", "w") as file:
        file["a"], file["b"] = np.zeros(3), np.zeros(4)
    assert "none is 'train'" in refused(room / "s.hdf5", room)


def test_directories(room: Path) -> None:
    (room / "s.folder").mkdir()
    (room / "s.lance").mkdir()
    assert "not a Lance dataset" in refused(room / "s.folder", room)
    refused(room / "s.lance", room)
    refused(room / "s.missing.parquet", room)


# -- what a destination cannot hold ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "name", "message"),
    [
        ({"v": [[1.0], [1.0, 2.0]]}, "out.fvecs", "row 1 has 2 values, expected 1"),
        ({"v": np.array([[300, 1]])}, "out.bvecs", "row 0, item 0: 300 is no uint8 value"),
        ({"v": np.array([[1e300]])}, "out.fvecs", "is no float32 value"),
        ({"v": np.zeros((2, 3)), "id": [1, 2]}, "out.fvecs", "choose one: --columns v"),
        ({"n": [1, None]}, "out.npy", "1 nulls, which an array of numbers cannot hold"),
        ({"s": ["x"]}, "out.npz", "no array of numbers"),
        ({"s": ["x"]}, "out.hdf5", "no array of numbers"),
    ],
)
def test_what_a_format_cannot_hold(room: Path, columns: Any, name: str, message: str) -> None:
    lance_fmt.write(room / "s.lfmt", columns)
    with pytest.raises(ConversionError, match=message.replace("(", r"\(")) as caught:
        convert(room / "s.lfmt", room / name)
    assert str(room / name) in str(caught.value)
    assert ".tmp" not in str(caught.value)


def test_rounding_is_reported(tmp_path: Path) -> None:
    lance_fmt.write(tmp_path / "s.lfmt", {"v": np.array([[0.1, 0.5]])})
    assert "1 values were rounded to float32" in convert(tmp_path / "s.lfmt", tmp_path / "o.fvecs").notes
    with pytest.raises(DifferenceError, match=r"row 0 .*column 'v'"):
        convert(tmp_path / "s.lfmt", tmp_path / "p.fvecs", check=True)
    assert left_in(tmp_path) == ["o.fvecs", "s.lfmt"]


def test_types_without_a_counterpart_name_the_column(room: Path) -> None:
    table = pa.table({"fine": [1], "span": pa.array([pa.MonthDayNano([1, 2, 3])])})
    with pa.ipc.new_file(room / "s.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(ConversionError, match=r"out\.lfmt: column 'span'"):
        convert(room / "s.arrow", room / "out.lfmt")


# -- destinations ----------------------------------------------------------------------------------------


def test_a_destination_that_exists_is_kept(tmp_path: Path) -> None:
    lance_fmt.write(tmp_path / "s.lfmt", {"a": [1]})
    (tmp_path / "o.csv").write_text("mine")
    with pytest.raises(InvalidArgumentError, match="--overwrite"):
        convert(tmp_path / "s.lfmt", tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "mine"
    convert(tmp_path / "s.lfmt", tmp_path / "o.csv", overwrite=True)
    assert (tmp_path / "o.csv").read_text() == "a\n1\n"


def test_an_error_keeps_what_was_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"a,b\n1,2\n3\n")
    (tmp_path / "o.lfmt").write_text("mine")
    with pytest.raises(ConversionError):
        convert(tmp_path / "s.csv", tmp_path / "o.lfmt", overwrite=True)
    assert (tmp_path / "o.lfmt").read_text() == "mine"
    assert left_in(tmp_path) == ["o.lfmt", "s.csv"]


def test_only_lance_datasets_are_replaced_among_directories(tmp_path: Path) -> None:
    pytest.importorskip("lance")
    lance_fmt.write(tmp_path / "s.lfmt", {"a": [1, 2, 3]})
    (tmp_path / "o.lance").mkdir()
    (tmp_path / "o.lance" / "letters").write_text("mine")
    with pytest.raises(InvalidArgumentError, match="not overwritten"):
        convert(tmp_path / "s.lfmt", tmp_path / "o.lance", overwrite=True)
    assert (tmp_path / "o.lance" / "letters").read_text() == "mine"
    convert(tmp_path / "s.lfmt", tmp_path / "p.lance")
    assert convert(tmp_path / "s.lfmt", tmp_path / "p.lance", overwrite=True, rows=(1, 3)).rows == 2
    assert convert(tmp_path / "p.lance", tmp_path / "p.csv").rows == 2
    assert left_in(tmp_path) == ["o.lance", "p.csv", "p.lance", "s.lfmt"]


def test_a_rename_that_fails_brings_the_old_dataset_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "d.lance", tmp_path / "new.lance"
    for path, text in ((old, "old"), (new, "new")):
        path.mkdir()
        (path / "x").write_text(text)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError(errno.EIO, "broken")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="broken"):
        place_module._replace(new, old, tmp_path / "aside")
    assert (old / "x").read_text() == "old"


def test_arguments(room: Path) -> None:
    lance_fmt.write(room / "s.lfmt", {"price": [1, 2], "name": ["a", "b"]})
    source, out = room / "s.lfmt", room / "out.csv"
    for options, message in [
        ({"columns": ["prize"]}, "did you mean 'price'"),
        ({"columns": ["price", "price"]}, "twice"),
        ({"columns": "price"}, "list of names"),
        ({"rows": (3, 1)}, "no range"),
        ({"batch_rows": 0}, "not positive"),
        ({"level": "small"}, "--level: only for .lfmt"),
        ({"row_index": ["price"]}, "--row-index: only for .lfmt"),
        ({"destination_format": "parket"}, "did you mean 'parquet'"),
        ({"source_format": "x"}, "there are lfmt"),
    ]:
        with pytest.raises(InvalidArgumentError, match=message):
            convert(source, out, **options)
    with pytest.raises(InvalidArgumentError, match="does not tell the format"):
        convert(source, room / "out.xyz")
    with pytest.raises(InvalidArgumentError, match="does not exist"):
        convert(source, room / "no" / "out.csv")
    with pytest.raises(ConversionError, match="no column 'x'"):
        convert(source, room / "out.lfmt", bloom=["x"])


def test_a_reader_that_fails_in_the_middle_leaves_nothing(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the writer pulls the rows through another language, which forgets the exception."""
    pytest.importorskip("lance")
    pytest.importorskip("vortex")
    lance_fmt.write(room / "s.lfmt", {"a": list(range(5000))})
    real = lfmt_module.retype_batch
    calls = []

    def failing(batch: Any, schema: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("the disk came off")
        return real(batch, schema)

    for name in ("out.csv", "out.lance", "out.vortex", "out.npy", "out.parquet", "out.lfmt"):
        calls.clear()
        monkeypatch.setattr(lfmt_module, "retype_batch", failing)
        with pytest.raises(ConversionError, match=r"^\S+/s\.lfmt: damaged.*the disk came off"):
            convert(room / "s.lfmt", room / name, batch_rows=100)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if (
        not sys.platform.startswith("linux")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("cannot mount a small file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    "name",
    [
        "o.lfmt",
        "o.parquet",
        "o.arrow",
        "o.csv",
        "o.jsonl",
        "o.npy",
        "o.npz",
        "o.fvecs",
        "o.hdf5",
        "o.lance",
        "o.vortex",
    ],
)
def test_a_full_disk(tmp_path: Path, small_disk: Path, name: str) -> None:
    if name in ("o.hdf5", "o.lance", "o.vortex") and not here(name[2:]):
        pytest.skip(f"{name[2:]} is not installed")
    vectors = np.random.default_rng(2).standard_normal((60_000, 16)).astype(np.float32)
    lance_fmt.write(tmp_path / "s.lfmt", {"vector": vectors})
    with pytest.raises(OSError, match="No space left") as caught:
        convert(tmp_path / "s.lfmt", small_disk / name)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(small_disk / name)
    assert left_in(small_disk) == []
