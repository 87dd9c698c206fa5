"""A warm process that forks one worker after another: ``python -m tests.torture.worker``.

It has imported everything and opened nothing, so that a worker costs a fork. A line of JSON on
standard input is a job; lines of JSON on standard output say who started, which slices were done
and how the worker ended. A worker does what an action's task does: it opens the ledger and takes
its slices through the door, one after another. Nothing in the package knows that it may be killed:
a ledger that counts its own transactions does it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

from segue.clock import Clock
from segue.contracts.channel import BUILT_IN, channel_class
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.errors import LedgerError
from segue.ledger import Deliveries, Ledger
from segue.ledger.states import DUE_LATER, State
from segue.workflows.times_of_day import Wait

BEFORE_CLAIM = "before the claim"
AFTER_CLAIM = "after the claim"
BEFORE_COMMIT = "after the answer, before the commit"
AFTER_COMMIT = "after the commit, the next round begun"
TASK_END = "after the last commit, before the task ends"

LEFT_TO_RETRY = 75  # exit code, as Airflow's "up for retry"
LONGEST_NAP = 0.02  # seconds; sleeping out a vendor's Retry-After proves nothing here
A_DAY = Wait.model_validate("1d")  # since the change, which is longer ago
WORKFLOW, ACTION, SNAPSHOT = "welcome", "mail", "2026-11-22"


class Fate:
    """Kills this process when it comes to a step for the n-th time."""

    def __init__(self, step: str | None, nth: int) -> None:
        self._step, self._left = step, nth

    def comes(self, step: str) -> None:
        """Count one arrival at a step."""
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalDeliveries(Deliveries):
    """The deliveries of a worker that may die at the borders of its transactions."""

    fate: Fate

    def claim(self, *arguments: Any, **options: Any) -> Any:
        self.fate.comes(BEFORE_CLAIM)
        rows = super().claim(*arguments, **options)
        self.fate.comes(AFTER_CLAIM)
        return rows

    def advance(self, finished: Any, *arguments: Any, **options: Any) -> Any:
        answered = any(item.state is State.DELIVERED for item in finished)
        if answered:
            self.fate.comes(BEFORE_COMMIT)
        started = super().advance(finished, *arguments, **options)
        if answered:
            self.fate.comes(AFTER_COMMIT)
        return started


def main() -> None:
    """Fork a worker for each job, one at a time."""
    say = _speaker()
    _warm_up()
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    say(ready=True)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(job, say)
        say(started=pid)
        _, status = os.waitpid(pid, 0)
        say(ended=os.waitstatus_to_exitcode(status))


def _speaker() -> Any:
    """Take standard output for ourselves: Airflow's log goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)

    def say(**facts: Any) -> None:
        os.write(out, json.dumps(facts).encode() + b"\n")  # short, so one piece

    return say


def _warm_up() -> None:
    """Import what a worker needs."""
    import psycopg  # noqa: F401
    from airflow.providers.common.compat.sdk import BaseHook  # noqa: F401
    from airflow.providers.http.hooks.http import HttpHook  # noqa: F401
    from airflow.providers.slack.hooks.slack import SlackHook  # noqa: F401
    from airflow.providers.smtp.hooks.smtp import SmtpHook  # noqa: F401

    for name in BUILT_IN:
        channel_class(name)


def _live(job: dict[str, Any], say: Any) -> NoReturn:
    """Do a job in a forked process, and end it without its parent's cleaning up."""
    code = 1
    try:
        os.environ.update(job["environment"])
        code = _work(job, say)
    except LedgerError as error:
        print(f"the ledger: {error}", file=sys.stderr)
        code = LEFT_TO_RETRY
    except BaseException:  # noqa: BLE001 - the exit code tells the driver, which raises it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _work(job: dict[str, Any], say: Any) -> int:
    """Take each slice through the door, as one mapped task after another would."""
    ledger = Ledger.open(job["ledger"], job["namespace"])
    fate = Fate(job["step"], job["nth"])
    mortal = MortalDeliveries(ledger.engine, ledger.namespace)
    mortal.fate = fate
    ledger.deliveries = mortal
    channel = channel_class(job["channel"]).model_validate(job["fields"])
    is_complete = True
    say(claims=True)
    for number, contacts in job["slices"].items():
        door = Door(
            ledger,
            channel,
            Terms(WORKFLOW, digest=job["digest"], wait=A_DAY, waits=job["waits"]),
            owner=f"{job['owner']}{number}",
            clear_number=None if job["waits"] else 0,
            clock=Clock(sleep=lambda seconds: time.sleep(min(seconds, LONGEST_NAP))),
        )
        result = door.deliver([_candidate(ledger, contact_id) for contact_id in contacts])
        fate.comes(TASK_END)
        is_done = result.is_complete and not any(result.standing[each] for each in DUE_LATER)
        is_complete = is_complete and is_done
        left = {str(state): count for state, count in result.standing.items()}
        say(slice=number, done=is_done, connection=result.connection, standing=left)
    return 0 if is_complete else LEFT_TO_RETRY


def _candidate(ledger: Ledger, contact_id: str) -> Candidate:
    return Candidate(
        key=ledger.key(WORKFLOW, ACTION, contact_id, "added", SNAPSHOT),
        contact_id=contact_id,
        change="added",
        snapshot=SNAPSHOT,
        fields={"contact_id": contact_id, "email": f"{contact_id}@example.com"},
        opted_in=True,
    )


if __name__ == "__main__":
    main()
