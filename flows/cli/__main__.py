"""`python -m flows.cli`: the command line of the source tree in the working directory."""

from __future__ import annotations

import sys

from flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
