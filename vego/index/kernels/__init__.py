"""Compiled loops of the vector indexes: pure functions of arrays and scalars, nothing else of the package."""
