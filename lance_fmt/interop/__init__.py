"""Files in the hands of other engines, each in a module of its own that imports its package when it is used.

| module       | what it makes of a file                                    | extra        |
|--------------|------------------------------------------------------------|--------------|
| `dataset`    | a `pyarrow.dataset.Dataset`                                | `arrow`      |
| `duckdb`     | a view of a DuckDB connection                              | `duckdb`     |
| `datafusion` | a table of a DataFusion context                            | `datafusion` |
| `polars`     | a lazy frame of Polars                                     | `polars`     |

All push projection and filters down. Tables, files and columns by themselves speak Arrow's C interfaces and
DLPack; see docs/interop.md.
"""
