"""``make matrix``: the wheel, installed and tried with each Airflow and Python that it supports.

A cell is a new environment. Airflow's published constraints are used where they can be had; else
the packages are those of the day after the release, which are nearly the same, and the table says
so. By hand, before a release: a cell takes minutes and the network. Needs uv.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.matrix.cell import CELLS, Cell, Result, build_wheel, try_cell

HEAD = """\
| Airflow | Python | packages | brought by Segue | a first run | doctor | unit tests |
|---|---|---|---|---|---|---|"""


def main() -> int:
    """Try the chosen cells one after the other; print their table, and return 1 if any failed."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("cells", nargs="*", help="such as 3.1.8-3.11; all where none is named")
    parser.add_argument("--no-tests", action="store_true", help="leave the unit tests out")
    chosen = parser.parse_args()
    cells = [cell for cell in CELLS if not chosen.cells or cell.name in chosen.cells]
    if not cells:
        parser.error(f"allowed: {', '.join(cell.name for cell in CELLS)}")
    results = []
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="segue-matrix-") as folder:
        wheel = build_wheel(Path(folder))
        for cell in cells:
            result = try_cell(cell, wheel, Path(folder) / cell.name, tests=not chosen.no_tests)
            print(row(cell, result), flush=True)
            results.append(result)
    return int(any(result.failed for result in results))


def row(cell: Cell, result: Result) -> str:
    """Return the row of the table that the docs have."""
    steps = (result.installed, result.run, result.checked, result.tests)
    return f"| {cell.airflow} | {cell.python} | {result.packages} | {' | '.join(steps)} |"


if __name__ == "__main__":
    sys.exit(main())
