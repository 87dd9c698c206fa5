"""A take in a process of its own, for a test that kills it: ROOT SIZE; the connection is ``xm``."""

from __future__ import annotations

import sys

from upath import UPath

from tests.unit.takes.qualtrics.conftest import ALL, XmDirectory

if __name__ == "__main__":
    print("begins", flush=True)
    print(XmDirectory(UPath(sys.argv[1]), None).take(int(sys.argv[2]), ALL), flush=True)
