"""The examples of docs/interop.md run, in order."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "interop.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pyarrow", "pandas", "duckdb", "datafusion", "polars"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    parts = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(parts) >= 8
    for part in parts:
        exec(compile(part, GUIDE.name, "exec"), names)
    assert names["first"]["day"].to_list() == [0] * 5
    assert names["X"].shape == (300_000, 8)
    assert {path.name for path in tmp_path.glob("*.lfmt")} >= {
        "copy.lfmt",
        "cities.lfmt",
        "oslo.lfmt",
        "frame.lfmt",
    }
    names.clear()
    gc.collect()
