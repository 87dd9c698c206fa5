"""Write the sample from the command line: `python -m segue.sample FOLDER`."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from segue.sample.generator import DAYS, FIRST, generate


def main() -> None:
    """Parse the arguments, write the snapshots and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m segue.sample", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the dated folders are written")
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST, help="first day")
    parser.add_argument("--days", type=int, default=DAYS, help="number of daily snapshots")
    parser.add_argument("--contacts", type=int, default=3000, help="contacts to begin with")
    parser.add_argument("--seed", type=int, default=7, help="another seed, another directory")
    arguments = parser.parse_args()
    generate(**vars(arguments))
    print(f"{arguments.days} snapshots from {arguments.first} in {arguments.folder}")


if __name__ == "__main__":
    main()
