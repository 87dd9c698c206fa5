"""Entry point of ``make demo`` (no argument) and ``make up`` (``up``)."""

from __future__ import annotations

import signal
import sys

from segue.errors import SegueError
from segue.extras import extra


def main(arguments: list[str]) -> int:
    """Run the demo or start the UI; returns the process's exit code."""
    if arguments not in ([], ["up"]):
        print("usage: python -m segue.demo [up]", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):  # Airflow is stopped then, too; a shell's
        signal.signal(number, signal.default_int_handler)  # background job would ignore the latter
    try:
        with extra("sandbox", "the demo"):
            from segue.demo.run import demo, up
        return up() if arguments else demo()
    except SegueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
