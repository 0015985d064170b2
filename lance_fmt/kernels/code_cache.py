"""Machine code of kernels on the disk, where several processes may keep theirs at the same time.

numba lists the signatures of a function in an index, and numbers the files with their code. Two processes that
compile one kernel for two signatures may give both the same number: the index then names the code of one for the
other, which runs on arguments it was not made for. One that is killed between index and code leaves an index that
names code of an older source. Here there is no index: the name of a file says whose code it holds, and the file says
it again.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile


def cached(function: Any) -> Any:
    """A compiled function that keeps its code on the disk; one that numba was told not to compile, as it is."""
    if hasattr(function, "enable_caching"):
        function._cache = CodeCache(function.py_func)
    return function


class CodeFiles(IndexDataCacheFile):  # type: ignore[misc]
    """One file for each signature, processor and source, written beside its place and then moved there."""

    def __init__(self, folder: str, function: str, stamp: object) -> None:
        super().__init__(folder, function, stamp)
        self._folder, self._function, self._source = Path(folder), function, (self._version, stamp)
        self._edition = sha256(repr(self._source).encode()).hexdigest()[:8]

    def save(self, key: object, data: object) -> None:
        """Keep `data`, and remove what was compiled of an older source."""
        self._save_data(self._name_of(key), (self._source, key, data))
        for path in self._files():
            if not path.name.startswith(f"{self._function}.{self._edition}-"):
                path.unlink(missing_ok=True)

    def load(self, key: object) -> object:
        """What was saved for `key`; None where nothing was, or a power cut left less of it: it is compiled again."""
        try:
            source, saved_for, data = self._load_data(self._name_of(key))
        except Exception:
            return None
        return data if (source, saved_for) == (self._source, key) else None

    def flush(self) -> None:
        """Remove all that was compiled of this function."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return [path for path in self._folder.glob("*.nbc") if path.name.startswith(f"{self._function}.")]

    def _name_of(self, key: object) -> str:
        return f"{self._function}.{self._edition}-{sha256(repr(key).encode()).hexdigest()[:16]}.nbc"


class CodeCache(FunctionCache):  # type: ignore[misc]
    """numba's cache of a function, over files of ours."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file: Any = CodeFiles(
            locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp()
        )
