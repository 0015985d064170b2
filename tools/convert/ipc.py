"""Arrow IPC files and streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vego_tools.convert.errors import ConversionError
from vego_tools.convert.source import Source, Window, WriteOptions, cut, selected


class _FileSource(Source):
    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        super().__init__(path)
        self._handle = pa.OSFile(str(path), "rb")
        self._reader = pa.ipc.open_file(self._handle)
        self.schema = self._reader.schema
        self._done = 0

    def batches(self, window: Window) -> Iterator[Any]:
        def checked() -> Iterator[Any]:
            for index in range(self._reader.num_record_batches):
                self._done = index + 1
                yield _checked(self._reader.get_batch(index))

        yield from cut(selected(checked(), window), window.batch_rows)

    def position(self) -> tuple[int, int]:
        return self._done, self._reader.num_record_batches

    def close(self) -> None:
        self._handle.close()


class _StreamSource(Source):
    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        super().__init__(path)
        self._size = path.stat().st_size
        self._handle = pa.OSFile(str(path), "rb")
        self.schema = pa.ipc.open_stream(self._handle).schema

    def batches(self, window: Window) -> Iterator[Any]:
        import pyarrow as pa

        self._handle.seek(0)
        reader = pa.ipc.open_stream(self._handle)
        yield from cut(selected((_checked(batch) for batch in reader), window), window.batch_rows)

    def position(self) -> tuple[int, int]:
        return self._handle.tell(), self._size

    def close(self) -> None:
        self._handle.close()


def _checked(batch: Any) -> Any:
    """Arrow IPC has no checksums: damaged offsets must not become reads outside a buffer."""
    batch.validate(full=True)
    return batch


def open_arrow(path: Path) -> Source:
    """Open an Arrow IPC file."""
    return _FileSource(path)


def open_arrows(path: Path) -> Source:
    """Open an Arrow IPC stream."""
    return _StreamSource(path)


class _Dictionaries:
    """One growing dictionary for each column: IPC files may add to a dictionary, never replace it."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}

    def joined(self, batch: Any, schema: Any) -> Any:
        """The batch with dictionaries that begin as those of all batches before."""
        import pyarrow as pa

        if not any(pa.types.is_dictionary(field.type) for field in schema):
            return batch
        arrays = [
            self._column(i, array) if pa.types.is_dictionary(array.type) else array
            for i, array in enumerate(batch.columns)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _column(self, place: int, array: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        known = self._known.get(place)
        if known is None and not len(array.dictionary):
            known = self._known[place] = pa.nulls(1, array.dictionary.type)  # Arrow adds to no empty one
        if known is None or array.dictionary.equals(known):
            self._known[place] = array.dictionary
            return array
        found = pc.index_in(array.dictionary, value_set=known)
        fresh = array.dictionary.filter(pc.is_null(found))
        if len(fresh):
            known = pa.concat_arrays([known, fresh])
            self._known[place] = known
            found = pc.index_in(array.dictionary, value_set=known)
        codes = found.take(array.indices)
        return pa.DictionaryArray.from_arrays(
            codes.cast(array.type.index_type), known, ordered=array.type.ordered, safe=False
        )


def write_arrow(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write an Arrow IPC file."""
    import pyarrow as pa

    dictionaries = _Dictionaries()
    deltas = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema, options=deltas) as writer:
        for batch in batches:
            try:
                writer.write_batch(dictionaries.joined(batch, schema))
            except pa.ArrowInvalid as error:
                if "ictionary" not in str(error) and "overflow" not in str(error):
                    raise
                raise ConversionError(
                    f"{path}: dictionaries that differ from batch to batch do not fit in an IPC file "
                    f"({error}); write a stream: --to arrows"
                ) from error
    return []


def write_arrows(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write an Arrow IPC stream."""
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return []
