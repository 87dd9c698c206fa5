"""What is done to a trial: workers killed, servers unwell, databases restarted, workers racing."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.torture.databases import Cluster, cluster
from tests.torture.trials import Ending, Figures, Forge, Trial, Victim, trial
from tests.torture.vendors import BY_NAME
from tests.torture.worker import (
    AFTER_CLAIM,
    AFTER_COMMIT,
    BEFORE_CLAIM,
    BEFORE_COMMIT,
    TASK_END,
)

BEFORE_EFFECT = "during the call, before the server acts"
AFTER_EFFECT = "during the call, after the server acted"
ANY_MOMENT = "any moment"
STEPS = (
    BEFORE_CLAIM,
    AFTER_CLAIM,
    BEFORE_EFFECT,
    AFTER_EFFECT,
    BEFORE_COMMIT,
    AFTER_COMMIT,
    TASK_END,
    ANY_MOMENT,
)
OF_A_PASS = frozenset({BEFORE_CLAIM, AFTER_CLAIM, TASK_END})  # once per slice
OF_A_ROUND = frozenset({BEFORE_COMMIT, AFTER_COMMIT})  # once per some four calls
OF_A_WORKER = sorted(OF_A_PASS | OF_A_ROUND)  # that it comes to by itself
SLICE = 20  # contacts of one mapped task, where slices are what is counted
DIGEST = 5  # contacts of one message, where slices are digests
FIRST_LIFE = 0.1  # seconds, from its first claim, of a worker that may die at any moment
PATIENCE = 60  # tries in a row that deliver nothing more, before a trial is given up
RACERS = 4
MOST_REFUSED = 4  # requests of one pass over a broken connection: one round of calls

STORM_429 = "a storm of 429 (SMTP: 451)"
STORM_5XX = "a storm of 5xx (SMTP: 451)"
LOST_ANSWERS = "answers lost, cut short, late or garbled"
EXPIRED = "expired credentials"
WRONG_HOST = "a wrong host"
RESTARTS = "the ledger's PostgreSQL restarts"
RACE = "four workers race over the same contacts"
RACE_AND_KILLS = "four workers race, and some are killed"
DIGESTS = "digests, at any of these steps"
WAITS = "what has waited, at any of these steps"
DIGEST_RACE = "four workers race for digests, and some are killed"


@dataclass(frozen=True)
class Experiment:
    """One row of the table."""

    name: str
    vendor: str
    database: str  # sqlite or postgresql
    contacts: int
    interruptions: int  # that are wanted

    def problems(self, figures: Figures) -> list[str]:
        """Return what is wrong with the figures of this experiment."""
        found = figures.problems(can_be_asked=BY_NAME[self.vendor].can_tell)
        if figures.interruptions < self.interruptions:
            found.append(f"{figures.interruptions} of {self.interruptions} interruptions")
        return found


class Bench:
    """What the experiments of one process share: a folder, and warm parents of workers."""

    def __init__(self, folder: Path, shared: Cluster | None = None) -> None:
        self.shared = shared  # a PostgreSQL server that nobody restarts
        self._folder = folder
        self._stack = ExitStack()
        self._forges: list[Forge] = []
        self._ledgers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def forge(self, number: int = 0) -> Forge:
        """Return a warm parent."""
        while len(self._forges) <= number:
            self._forges.append(self._stack.enter_context(Forge(self._folder)))
        return self._forges[number]

    def new_sqlite(self) -> str:
        """Return the address of a ledger that is not there yet."""
        self._ledgers += 1
        return f"sqlite:///{self._folder}/ledger-{os.getpid()}-{self._ledgers}.db"


def carry_out(experiment: Experiment, bench: Bench) -> Figures:
    """Do one experiment on a new ledger and a new server."""
    # what is drawn is the same in every run; what threads and processes make of it is not
    rng = random.Random(repr(experiment))
    vendor = BY_NAME[experiment.vendor]
    with (
        _database(experiment, bench) as (url, server),
        trial(
            vendor,
            url,
            experiment.contacts,
            digest=experiment.name in (DIGESTS, DIGEST_RACE),
            waits=experiment.name == WAITS,
        ) as made,
    ):
        if experiment.name in (*STEPS, DIGESTS, WAITS):
            return _kill(made, bench, experiment, rng)
        if experiment.name == RESTARTS:
            assert server is not None
            return _restart(made, bench, server, experiment, rng)
        return OTHERS[experiment.name](made, bench, experiment, rng)


@contextmanager
def _database(experiment: Experiment, bench: Bench) -> Iterator[tuple[str, Cluster | None]]:
    if experiment.database == "sqlite":
        yield bench.new_sqlite(), None
    elif experiment.name == RESTARTS or bench.shared is None:
        with cluster() as own:
            yield own.new_database(), own
    else:
        yield bench.shared.new_database(), None


# Killed workers


def _kill(made: Trial, bench: Bench, experiment: Experiment, rng: random.Random) -> Figures:
    """Kill a worker, let Airflow try again, and so on; the last ones may live."""
    left = made.slices(DIGEST if made.digest else SLICE)
    kills = idle = 0
    life = FIRST_LIFE
    while left and idle < PATIENCE:
        before, had = len(left), made.received()
        deaths_left = experiment.interruptions - kills
        step = experiment.name if deaths_left else None
        if step in (DIGESTS, WAITS):
            step, nth = rng.choice(STEPS), rng.randint(1, min(2, len(left)))
        else:
            nth = _draw_nth(step, len(left), deaths_left, rng) if step else 0
        ending = _life(made, bench.forge(), made.job(left, step, nth), rng.uniform(0, life))
        kills += ending.was_killed
        if ending.was_killed or not step:  # who outlived a death is cleared, and done again
            left = {number: one for number, one in left.items() if number not in ending.done}
        idle = 0 if step or len(left) < before else idle + 1
        made.wait_out_leases()
        life *= 1.3 if made.received() == had else 0.8  # whatever the machine's speed
    return made.figures(kills)


def _life(made: Trial, forge: Forge, job: Mapping[str, Any], seconds: float) -> Ending:
    """Let one worker live, until the step at which it is to die."""
    victim, faults, step = Victim(), made.sandbox.faults, job["step"]
    timer = threading.Timer(seconds, victim.kill)
    if step in (BEFORE_EFFECT, AFTER_EFFECT):
        faults.arm(job["nth"], victim.kill, after_effect=step == AFTER_EFFECT)
    victim.is_called(forge.start(job))
    if step == ANY_MOMENT:
        forge.wait_for_claim()
        timer.start()
    ending = forge.wait()
    victim.has_ended()
    faults.disarm()
    timer.cancel()
    return ending


def _draw_nth(step: str, slices: int, deaths: int, rng: random.Random) -> int:
    """Draw at which arrival at a step to die, so that the work lasts for all ``deaths``."""
    if step in OF_A_PASS:
        return rng.randint(1, min(2, slices))
    most = slices * SLICE / deaths * 0.6  # calls; those under way at a death come on top
    return rng.randint(1, max(1, int(most / 4 if step in OF_A_ROUND else most)))


# Servers that are unwell


def _storm(fault: str) -> Callable[..., Figures]:
    def storm(made: Trial, bench: Bench, experiment: Experiment, rng: random.Random) -> Figures:
        options = {"retry_after": 1} if fault == "rate_limited" else {}
        made.sandbox.fault(
            made.vendor.service, fault, times=max(8, experiment.contacts // 4), **options
        )
        return _until_delivered(made, bench.forge())

    return storm


def _lose_answers(made: Trial, bench: Bench, experiment: Experiment, rng: random.Random) -> Figures:
    """Spoil the answer to a third of the messages, and the first look-ups for them."""
    vendor, sandbox = made.vendor, made.sandbox
    made.connection = vendor.connection(sandbox, timeout=1)
    kinds = ["reset", "reset_after_effect"]
    if vendor.service != "smtp":  # whose answers have no body
        kinds += ["reset_mid_answer", "malformed_answer"]
    if vendor.look_up:
        for fault in ("server_error", "malformed_answer", "reset_mid_answer", "rate_limited"):
            sandbox.fault(vendor.service, fault, **vendor.look_up)
    marks = list(made.marks().values())
    chosen = rng.sample(marks, len(marks) // 3)
    for number, mark in enumerate(chosen):  # a time-out takes a second, so there are fewer
        late = number % 20 == 0
        fault = "time_out_after_effect" if late else rng.choice(kinds)
        sandbox.fault(vendor.service, fault, match=mark, **({"delay": 3} if late else {}))
    return _until_delivered(made, bench.forge())


def _expire(made: Trial, bench: Bench, experiment: Experiment, rng: random.Random) -> Figures:
    """Refuse the credentials for three tries of the task, then accept them again."""
    vendor, sandbox = made.vendor, made.sandbox
    wrong = []
    for _ in range(3):
        sandbox.fault(vendor.service, "unauthorized", times=1_000_000)
        refused = sandbox.faults.refused
        wrong += _broken_pass(made, bench.forge())
        if not 1 <= (count := sandbox.faults.refused - refused) <= MOST_REFUSED:
            wrong.append(f"{count} refused requests in one pass")
        sandbox.faults.clear()
    return _until_delivered(made, bench.forge(), ", ".join(dict.fromkeys(wrong)))


def _misdirect(made: Trial, bench: Bench, experiment: Experiment, rng: random.Random) -> Figures:
    """Let the connection name a host that nobody knows, then the right one."""
    right, made.connection = (
        made.connection,
        made.vendor.connection(made.sandbox, host="nobody.invalid"),
    )
    wrong = _broken_pass(made, bench.forge())
    made.connection = right
    return _until_delivered(made, bench.forge(), ", ".join(wrong))


def _broken_pass(made: Trial, forge: Forge) -> list[str]:
    """Do one pass over a connection that does not work; return what was not as it should be."""
    forge.start(made.job(made.slices(len(made.contacts))))
    ending = forge.wait()
    wrong = []
    if len(ending.connections) != 1:
        wrong.append(f"{len(ending.connections)} complaints about the connection")
    if ending.standing != {"released": len(made.contacts)}:
        wrong.append("not all deliveries stayed released")
    return wrong


def _until_delivered(made: Trial, forge: Forge, wrong: str = "") -> Figures:
    """Try again, as Airflow would, until nothing is left."""
    for _ in range(PATIENCE):
        forge.start(made.job(made.slices(len(made.contacts))))
        ending = forge.wait()
        made.wait_out_leases()
        if ending.code == 0:
            break
    return made.figures(0, wrong)


# Databases that restart


def _restart(
    made: Trial, bench: Bench, server: Cluster, experiment: Experiment, rng: random.Random
) -> Figures:
    """Restart the ledger's server under a worker, in turn in good order and as in a crash."""
    restarts = 0
    for number in range(PATIENCE):
        bench.forge().start(made.job(made.slices(len(made.contacts))))
        if restarts < experiment.interruptions:
            time.sleep(rng.uniform(0.05, 0.25))
            server.stop("immediate" if number % 2 else "fast")
            server.start()
            restarts += 1
        ending = bench.forge().wait()
        made.wait_out_leases()
        if ending.code == 0:
            break
    return made.figures(restarts)


# Workers that race


def _race(made: Trial, bench: Bench, experiment: Experiment, rng: random.Random) -> Figures:
    """Let workers take the same slices at once, each in an order of its own."""
    deaths = [experiment.interruptions // RACERS] * RACERS
    forges = [bench.forge(number) for number in range(RACERS)]
    draws = [random.Random(rng.random()) for _ in range(RACERS)]
    with ThreadPoolExecutor(RACERS) as pool:
        kills = list(pool.map(_racer, [made] * RACERS, forges, deaths, draws))
    return made.figures(sum(kills))


def _racer(made: Trial, forge: Forge, deaths: int, rng: random.Random) -> int:
    """Take all slices until nothing is left, dying and trying again meanwhile."""
    kills = 0
    for _ in range(20 * PATIENCE):
        slices = list(made.slices(DIGEST if made.digest else SLICE).items())
        rng.shuffle(slices)
        step = rng.choice(OF_A_WORKER) if kills < deaths else None
        job = made.job(dict(slices), step, rng.randint(1, 3))
        forge.start(job)
        ending = forge.wait()
        if ending.was_killed:
            kills += 1
            made.wait_out_leases(job["owner"])
        if ending.code == 0 and kills == deaths:
            break
    return kills


OTHERS: dict[str, Callable[[Trial, Bench, Experiment, random.Random], Figures]] = {
    STORM_429: _storm("rate_limited"),
    STORM_5XX: _storm("server_error"),
    LOST_ANSWERS: _lose_answers,
    EXPIRED: _expire,
    WRONG_HOST: _misdirect,
    RACE: _race,
    RACE_AND_KILLS: _race,
    DIGEST_RACE: _race,
}
