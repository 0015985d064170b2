"""Compiled loops of the format: pure functions of arrays and scalars, nothing else of the package."""
