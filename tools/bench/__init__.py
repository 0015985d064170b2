"""The comparison with other databases and file formats: what `vego bench` and the project's `benchmarks` run."""
