"""`python3 -m peer vectors DIR` checks the golden vectors in DIR."""

import sys

from .vectors import run

if len(sys.argv) != 3 or sys.argv[1] != "vectors":
    sys.exit("usage: python3 -m peer vectors DIR")
sys.exit(1 if run(sys.argv[2]) else 0)
