"""Takes in processes of their own, which a test kills."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress

IN_THE_MIDST, LONGEST = 0.3, 1.2  # moments of a kill, as parts of what a take lasts


def run_for(module: str, *arguments: object, seconds: float | None = None) -> float:
    """Run a module that prints a line as it begins, and kill it after so many seconds.

    Without ``seconds`` it ends by itself. Returns how many it has lasted.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        begin = time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
    return time.monotonic() - begin
