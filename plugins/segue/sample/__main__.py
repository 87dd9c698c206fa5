"""Write the sample from the command line: `python -m segue.sample FOLDER`."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, date, datetime
from pathlib import Path

from segue.sample.generator import keep_up, newest_day

LOOK_SECONDS = 60  # how often --follow looks whether a day has ended


def main() -> None:
    """Parse the arguments, write the snapshots and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m segue.sample", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the dated folders are written")
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--last", type=date.fromisoformat, help="newest snapshot; else yesterday's")
    until.add_argument(
        "--follow", action="store_true", help="go on: write each day once it is over"
    )
    parser.add_argument("--contacts", type=int, default=3000, help="contacts to begin with")
    parser.add_argument("--seed", type=int, default=7, help="another seed, another directory")
    arguments = parser.parse_args()

    last = arguments.last or newest_day(datetime.now(UTC))
    write_up_to(last, arguments)
    while arguments.follow:
        time.sleep(LOOK_SECONDS)
        if (today := newest_day(datetime.now(UTC))) > last:
            last = today
            write_up_to(last, arguments)


def write_up_to(last: date, arguments: argparse.Namespace) -> None:
    """Bring the sample up to a day and say so."""
    folder = arguments.folder
    first = keep_up(folder, last, contacts=arguments.contacts, seed=arguments.seed)
    print(f"Snapshots {first} to {last} in {folder}", flush=True)


if __name__ == "__main__":
    main()
