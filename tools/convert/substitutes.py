"""Types that a library refuses, and what stands for them: found by trying, as what it takes differs by version."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from vego_tools.convert.errors import ConversionError, first_line, system_error
from vego_tools.convert.retype import retype_batch
from vego_tools.convert.source import empty_batch

_TRIED = 64
Put = Callable[[Any, Iterator[Any], Path], None]


def write_fitted(path: Path, schema: Any, batches: Iterator[Any], put: Put) -> None:
    """`put(schema, batches, path)`, with other types for the columns that it does not take.

    What it takes is tried with the first rows, beside `path`, and nothing is left of that. Raises ConversionError
    for a column that is refused under any type.
    """
    first = next(batches, None)
    if first is None:
        first = empty_batch(schema)
    target = _fitting(path, schema, first.slice(0, _TRIED), put)
    held = [first]
    del first
    put(target, _retyped(chain(_drained(held), batches), target), path)


def _drained(items: list[Any]) -> Iterator[Any]:
    while items:
        yield items.pop(0)


def _retyped(batches: Iterator[Any], schema: Any) -> Iterator[Any]:
    for batch in batches:
        yield retype_batch(batch, schema)
        del batch  # not held while the next is read


def _fitting(path: Path, schema: Any, sample: Any, put: Put) -> Any:
    import pyarrow as pa

    if _refusal(schema, sample, path, put) is None:
        return schema
    fields = []
    for field in schema:
        first: BaseException | None = None
        column = sample.select([field.name])
        for kind in (field.type, *_substitutes(field.type)):
            candidate = field.with_type(kind)
            refusal = _refusal(pa.schema([candidate]), column, path, put)
            if refusal is None:
                fields.append(candidate)
                break
            first = first or refusal
        else:
            raise ConversionError(
                f"{path}: column {field.name!r} of type {field.type} cannot be written: "
                f"{first_line(first or ValueError('refused'))}; leave it out (--columns)"
            )
    return pa.schema(fields, schema.metadata)


def _refusal(schema: Any, sample: Any, path: Path, put: Put) -> BaseException | None:
    """What is raised for these rows under this schema; None if nothing is."""
    trial = path.with_name(f"trial-{path.name}")
    try:
        put(schema, iter([retype_batch(sample, schema)]), trial)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # libraries in Rust panic with a BaseException
        if system_error(error):
            raise
        return error
    finally:
        if trial.is_dir():
            shutil.rmtree(trial, ignore_errors=True)
        else:
            trial.unlink(missing_ok=True)
    return None


def _substitutes(kind: Any) -> Iterator[Any]:
    """Types that hold the same values, the nearest first."""
    import pyarrow as pa

    simple = simplified(kind)
    if not simple.equals(kind):
        yield simple
    yield pa.large_string()


def simplified(kind: Any) -> Any:
    """A type of plain numbers, text, bytes, lists and structs that holds the values of `kind`."""
    import pyarrow as pa

    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return simplified(kind.storage_type)
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return simplified(kind.value_type)
    if is_.is_duration(kind):
        return pa.int64()
    if is_.is_fixed_size_binary(kind) or is_.is_large_binary(kind) or is_.is_binary_view(kind):
        return pa.binary()
    if is_.is_large_string(kind) or is_.is_string_view(kind):
        return pa.string()
    if is_.is_date64(kind):
        return pa.timestamp("ms")
    if is_.is_decimal(kind):
        return _decimal(kind.precision - min(kind.scale, 0), max(kind.scale, 0)) if kind.scale < 0 else kind
    if is_.is_map(kind):
        members = [kind.key_field, kind.item_field]
        return pa.list_(pa.struct([f.with_type(simplified(f.type)) for f in members]))
    if is_.is_struct(kind):
        members = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([f.with_type(simplified(f.type)) for f in members])
    if is_.is_fixed_size_list(kind) and (is_.is_integer(kind.value_type) or is_.is_floating(kind.value_type)):
        return pa.list_(kind.value_field.with_type(simplified(kind.value_type)), kind.list_size)
    if hasattr(kind, "value_field"):
        return pa.list_(kind.value_field.with_type(simplified(kind.value_type)))
    return kind


def _decimal(precision: int, scale: int) -> Any:
    import pyarrow as pa

    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
