"""Vector indexes beside each other: recall against speed on one core; see `python -m benchmarks.ann --help`."""
