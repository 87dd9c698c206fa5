"""Run one job once in this process, which has done nothing else, and print what it cost."""

from __future__ import annotations

import hashlib
import importlib
import json
import resource
import sys
import time

from tests.benchmarks.job import Job


def main() -> None:
    """``python -m tests.benchmarks.measured KIND SNAPSHOTS STATE OUTPUT ENGINE``."""
    job, engine = Job.from_arguments(), sys.argv[5]
    start = time.perf_counter()
    module = importlib.import_module(f"tests.benchmarks.engines.{engine}")
    imported = time.perf_counter()
    result = module.RUNS[job.kind](job)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = sorted(module.rows_of(result))
    answer = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    figures = {
        "imports": imported - start,
        "seconds": ended - imported,
        "megabytes": peak / 1024 if sys.platform != "darwin" else peak / 1024**2,
        "changes": len(rows),
        "answer": answer,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
