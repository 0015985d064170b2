"""`python -m fuzz.torture`; see `fuzz.torture.run`."""

from __future__ import annotations

import sys

from fuzz.torture.run import main

if __name__ == "__main__":
    sys.exit(main())
