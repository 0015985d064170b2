"""Where real data is, on machines that have it."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PACKAGES = DATA / "debian-packages"


def default_source() -> str:
    """The shared packages where they are, else the sample the demo ships."""
    return str(PACKAGES) if PACKAGES.exists() else "sample"
