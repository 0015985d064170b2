"""Measures Vego beside other libraries and databases, on the same data in the same run."""
