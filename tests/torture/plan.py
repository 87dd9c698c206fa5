"""All experiments, and the processes that carry them out."""

from __future__ import annotations

import logging
from pathlib import Path

from tests.torture.databases import Cluster
from tests.torture.experiments import (
    DIGEST_RACE,
    DIGESTS,
    LOST_ANSWERS,
    OTHERS,
    RACE,
    RACE_AND_KILLS,
    RESTARTS,
    STEPS,
    WAITS,
    Bench,
    Experiment,
    carry_out,
)
from tests.torture.trials import Figures
from tests.torture.vendors import BY_NAME

Result = tuple[Experiment, Figures]

_bench: Bench  # of a process of the pool


def plan(*, full: bool) -> list[Experiment]:
    """Return all experiments; the bounded set has each of them, with fewer deliveries."""
    few, many = (1000, 5000) if full else (200, 1000)
    sizes = {  # deliveries, interruptions
        **dict.fromkeys(STEPS, (few, 50 if full else 10)),
        **dict.fromkeys(OTHERS, (few, 0)),
        LOST_ANSWERS: (few // 2, 0),
        RACE: (many, 0),
        RACE_AND_KILLS: (few, 48 if full else 8),
        DIGESTS: (few, 50 if full else 10),
        WAITS: (few, 50 if full else 10),
        DIGEST_RACE: (few, 48 if full else 8),
        RESTARTS: (few, 8 if full else 2),
    }
    return [
        Experiment(name, vendor, database, *size)
        for name, size in sizes.items()
        for vendor in BY_NAME
        for database in ("sqlite", "postgresql")
        if name != RESTARTS or database == "postgresql"
        if name not in (DIGESTS, DIGEST_RACE) or BY_NAME[vendor].takes_digests
    ]


def set_up(folder: Path, shared: Cluster | None) -> None:
    """Make this process one of the pool's."""
    global _bench
    # the servers break answers on purpose, and need not complain of it
    logging.getLogger("uvicorn.error").addFilter(lambda record: False)
    _bench = Bench(folder, shared)


def one_result(experiment: Experiment) -> Result:
    """Carry out one experiment in this process."""
    return experiment, carry_out(experiment, _bench)
