"""Files of other formats into `.lfmt` and back: Parquet, Arrow, CSV, JSON Lines, NumPy, HDF5, Lance, Vortex..."""

from vego_tools.convert.conversion import DifferenceError, convert
from vego_tools.convert.errors import ConversionError
from vego_tools.convert.registry import FORMATS, Format
from vego_tools.convert.report import Change, Report

__all__ = ["FORMATS", "Change", "ConversionError", "DifferenceError", "Format", "Report", "convert"]
