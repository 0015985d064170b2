"""Code of kernels on the disk: found again whoever writes it, and never that of another signature or source."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SOURCE = "from lance_fmt.kernels.decorator import kernel\n\n@kernel\ndef more(x):\n    return x[0] + {more}\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with a kernel, whose source may change within the second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "m.py"
    path.write_text(SOURCE.format(more=1))
    return path


def module_of(path: Path, serial: int) -> ModuleType:
    """The module anew, as another process would import it."""
    specification = importlib.util.spec_from_file_location(f"cached_{serial}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_code_is_found_again_and_that_of_an_older_source_goes(tmp_path: Path, path: Path) -> None:
    first = module_of(path, 1).more
    assert [first(np.ones(1, dtype)) for dtype in ("i4", "f8")] == [2, 2]
    files = sorted(path.name for path in (tmp_path / "__pycache__").glob("*.nb*"))
    assert len(files) == 2
    again = module_of(path, 2).more
    assert [again(np.ones(1, dtype)) for dtype in ("i4", "f8")] == [2, 2]
    assert again.stats.cache_hits.total() == 2
    path.write_text(SOURCE.format(more=1000))
    other = module_of(path, 3).more
    assert other(np.ones(1, "f8")) == 1001
    assert other.stats.cache_hits.total() == 0
    (left,) = (tmp_path / "__pycache__").glob("*.nb*")
    assert left.name not in files
    other.recompile()
    assert module_of(path, 4).more(np.ones(1, "f8")) == 1001


def test_a_file_of_another_signature_or_cut_short_is_not_believed(tmp_path: Path, path: Path) -> None:
    first = module_of(path, 1).more
    values = {dtype: np.array([7], dtype) for dtype in ("i4", "f4")}
    names: dict[str, Path] = {}
    for dtype, value in values.items():
        first(value)
        (names[dtype],) = set((tmp_path / "__pycache__").glob("*.nbc")) - set(names.values())
    whole = names["i4"].read_bytes()
    for bad in (names["f4"].read_bytes(), b"", whole[: len(whole) // 2]):
        names["i4"].write_bytes(bad)
        for hits in (0, 1):
            again = module_of(path, 2).more
            assert again(values["i4"]) == 8
            assert again.stats.cache_hits.total() == hits


@pytest.mark.parametrize("before", [True, False])
def test_who_keeps_code_while_another_does_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Whenever one process gives a file its name, another has kept code for another signature just before or after."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "m.py"
    path.write_text(SOURCE.format(more=1))
    one, others = module_of(path, 1).more, [np.array([7], dtype) for dtype in ("u1", "f4", "f8")]
    renamed = os.replace

    def replace(source: str, target: str) -> None:
        if before:
            renamed(source, target)
        monkeypatch.setattr(os, "replace", renamed)
        another = module_of(path, 2 + len(others)).more
        assert another(others.pop()) == 8
        monkeypatch.setattr(os, "replace", replace)
        if not before:
            renamed(source, target)

    monkeypatch.setattr(os, "replace", replace)
    assert one(np.array([7], "i4")) == 8
    monkeypatch.setattr(os, "replace", renamed)
    taken = {"u1", "f4", "f8"} - {value.dtype.str[1:] for value in others} | {"i4"}
    assert len(taken) > 1
    again = module_of(path, 9).more
    assert {dtype: again(np.array([7], dtype)) for dtype in taken} == dict.fromkeys(taken, 8)
    assert again.stats.cache_hits.total() == len(taken)
