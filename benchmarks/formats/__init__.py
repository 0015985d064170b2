"""The file format beside Parquet, Lance and Vortex: ``python -m benchmarks.formats``."""
