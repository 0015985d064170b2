"""The file inspector behind `vego inspect`: reports as dicts that JSON can hold, as lines, and as a page of HTML."""

from vego_tools.inspector.report import inspect

__all__ = ["inspect"]
