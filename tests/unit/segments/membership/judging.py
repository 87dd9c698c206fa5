"""``python -m …judging ROOT LEDGER SEGMENT``: a process that asks for a membership, as a run does.

It notes each pass over the snapshot that it begins in ``ROOT/passes``; the first process that meets
``ROOT/stall`` takes it away and hangs in its pass.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from segue.ledger.alone import alone
from segue.ledger.engine import open_engine
from segue.segments.membership import store as module
from segue.segments.membership.shared import SharedMemberships
from segue.segments.membership.slices import sliced_members
from segue.segments.membership.store import MembershipStore
from tests.unit.segments.home import Home

DAY = "2026-11-22"
NAMES = ["gold", "silver", "rich"]


def main(root: Path, ledger: str, name: str) -> None:
    home = Home(root)

    def noting(*asked):
        with (root / "passes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        with suppress(FileNotFoundError):
            (root / "stall").unlink()
            time.sleep(600)
        time.sleep(0.2)  # long enough for the others to ask
        return sliced_members(*asked)

    module.sliced_members = noting
    store = MembershipStore(str(root / "state"))
    catalog, tables = home.catalog, home.tables(DAY)
    segments = [catalog.segment(each) for each in NAMES]
    memberships = SharedMemberships(store, lambda: segments, partial(alone, open_engine(ledger)))
    found = memberships.membership(catalog.segment(name), tables.directory, tables.snapshot)
    print(name, *found["contact_id"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
