"""`python -m vego.cli` is `vego`."""

from __future__ import annotations

import sys

from vego.cli import main

if __name__ == "__main__":
    sys.exit(main())
