"""TPC-H through DuckDB: over its own tables, Parquet and files of this format."""
