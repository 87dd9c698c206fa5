"""A world for the delivery model: real snapshots, a real ledger, a vendor with moods, a clock.

``World`` does what Airflow and its operators do, task by task. ``Vendor`` notes every message
that really arrived and holds it, at that very moment, against what ``Model`` knows of the
snapshots; what is wrong is collected in ``World.violations``. The model shares no code with
detection, the door or the ledger.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine

from segue.clock import Clock
from segue.contacts.change import changes_of_span
from segue.contacts.live_look_up import Desk
from segue.delivery.resumption import await_definition, resume
from segue.delivery.steps import check_branch, deliver, load_branch
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.errors import (
    AudienceEdited,
    ConnectionFailure,
    ContactFailure,
    LedgerError,
    OutcomeUnknown,
    SegueError,
    SettingsError,
    TransientFailure,
)
from segue.ledger import Ledger
from segue.ledger.facts import Decision, ListedDelivery, RecordedRun, RecordedSpan, Run, Wishes
from segue.ledger.people.release_requests import RequestKind, Selection, Settlement
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef, cut
from segue.runs.context import RunContext
from segue.runs.gaps import gaps
from segue.runs.guard_question import judge_policies, question
from segue.runs.report import report_run
from segue.runs.span_detection import detect
from segue.segments.definition import SegmentDefinition
from segue.segments.membership.store import MembershipStore
from segue.testing import AskableChannel, Outbox, RecordingChannel
from segue.upkeep.forgetting import forget
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow
from tests.states import refuse_other_steps
from tests.unit.builders import stores_of

CONTACTS = "abcdef"
FIRST_DAY = date(2026, 11, 1)
# to the team, by its two names; to the contact; to the team, after mail; one per run, after mail
ACTIONS = ("tell", "shout", "mail", "follow", "sum")
KINDS = ("added", "removed", "opted_in", "opted_out")
TEXT = "{{ contact.contact_id }} {{ change }} {{ snapshot }}"
LINE = TEXT.replace("change", "contact.change").replace("snapshot", "contact.snapshot")
NAME = "greet"
ENROLLED = "enrolled"
SECRET = "a long random text of the model's own"
PHONE = {"field": "phone", "is_set": True}
SILVER = {"field": "tier", "equals": "silver"}  # who leaves, where the workflow says so


# The model: what is true, whatever Segue does


@dataclass(frozen=True)
class Person:
    """One contact in one snapshot."""

    gold: bool
    opted_in: bool
    phone: bool


Population = Mapping[str, Person]  # by contact id; who is not in it is not in the directory


@dataclass(frozen=True)
class Identity:
    """What makes a message "the same message": one per action and change.

    An enrolment happens once, whatever its snapshot: that is empty.
    """

    action: str
    contact: str
    change: str
    snapshot: str


def true_changes(previous: Population, current: Population) -> set[tuple[str, str, bool]]:
    """Return (contact, change, was deleted) of the contacts that crossed the line."""
    found = set()
    for contact in {*previous, *current}:
        before, after = previous.get(contact), current.get(contact)
        was, is_ = bool(before and before.gold), bool(after and after.gold)
        if was != is_:
            found.add((contact, "added" if is_ else "removed", after is None))
        elif was and before.opted_in != after.opted_in:
            found.add((contact, "opted_in" if after.opted_in else "opted_out", False))
    return found


def key_of(day: int) -> str:
    """The key of the snapshot of a day."""
    return (FIRST_DAY + timedelta(days=day)).isoformat()


def as_of(day: int) -> datetime:
    """The midnight at which a day's snapshot ends."""
    return datetime.combine(FIRST_DAY + timedelta(days=day + 1), datetime.min.time(), UTC)


def held_out(contact: str, share: float) -> bool:
    """The documented rule: SHA-256 of the JSON array [workflow, contact id], as a share of 2^64."""
    digest = hashlib.sha256(f'["{NAME}","{contact}"]'.encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def wait_end(wait: str, begin: datetime) -> datetime:
    """When a wait ends: after so many hours, or at a time of day."""
    if wait.endswith("h"):
        return begin + timedelta(hours=int(wait.removesuffix("h")))
    ends = datetime.combine(begin.date(), time.fromisoformat(wait), UTC)
    return ends if ends >= begin else ends + timedelta(days=1)


# The vendor, and workers that die


class Died(BaseException):
    """The worker's process ended: nothing of it runs any more."""


@dataclass
class Mood:
    """How the vendor and the machine behave during one operation.

    ``answers`` are given in turn to the calls for a contact, then all is well; ``dies_at`` is the
    transaction before which the worker dies.
    """

    answers: dict[str, list[str]] = field(default_factory=dict)
    dies_at: int | None = None
    dead: bool = False

    def next_answer(self, contact: str) -> str:
        waiting = self.answers.get(contact)
        return waiting.pop(0) if waiting else "accept"


ANSWERS = {
    "refuse": lambda: ContactFailure("422"),
    "later": lambda: TransientFailure("503"),
    "much later": lambda: TransientFailure("429", retry_after=600),
    "no connection": lambda: ConnectionFailure("401"),
    "lost before": lambda: OutcomeUnknown("reset"),
    "die before": Died,
}
ANSWERS_AFTER = {
    "lost after": lambda: OutcomeUnknown("reset"),
    "defect after": lambda: RuntimeError("a channel's defect"),
    "die after": Died,
}
MOODS = ["accept", *ANSWERS, *ANSWERS_AFTER]


class MortalLedger(Ledger):
    """The ledger as one worker sees it: once the worker died, it does nothing more."""

    def __init__(self, mood: Mood, *values: Any, **options: Any) -> None:
        super().__init__(*values, **options)
        self.mood = mood
        for store in stores_of(self):
            store._write, store._read = self._write, self._read

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        mood = self.mood
        if mood.dies_at is not None:
            mood.dead |= mood.dies_at == 0
            mood.dies_at -= 1
        if mood.dead:
            raise Died
        with super()._write() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        if self.mood.dead:
            raise Died
        with super()._read() as connection:
            yield connection


@dataclass(frozen=True)
class Arrival:
    """A message that really reached the vendor."""

    identity: Identity
    at: datetime
    key: str


# The world


@dataclass(frozen=True)
class Covered:
    """A recorded span: the days it compares, the day its time begins at, its snapshot, its run."""

    days: tuple[int, int]
    begins: int
    ends_with: str
    run_id: str


@dataclass
class DagRun:
    """One DAG run: what Airflow keeps of it."""

    run: Run
    wishes: Wishes
    refs: Sequence[BranchRef] | None = None  # what detect_changes returned; None: it failed
    prepared: bool = False  # detect_changes, the guard and the conditions have ended well
    passed: set[int] = field(default_factory=set)  # branches behind their conditions
    ended: set[tuple[str, int]] = field(default_factory=set)  # actions' tasks not to be retried
    stale: bool = False  # definitions were edited: a person has to clear it from detect_changes


class World:
    """A directory, a workflow, a ledger, a vendor and the clock on the wall."""

    def __init__(
        self, folder: Path, engine: Engine, namespace: str, *, askable: bool = False, slices: int
    ) -> None:
        self.folder, self.engine, self.namespace = folder, engine, namespace
        self.slices, self.askable = slices, askable
        self.ledger = Ledger(engine, namespace, SECRET, is_new=True)
        refuse_other_steps(engine)
        self.store = MembershipStore(str(folder / "state"))
        self.now = as_of(0) + timedelta(hours=7)
        self.policies: dict[str, Any] = {"max_age": "100d"}
        self.wording = ""
        self.snapshots: dict[int, Population] = {}  # by day; complete or not
        self.incomplete: set[int] = set()
        self.runs: dict[str, DagRun] = {}
        self.first: str | None = "tell"  # the first action, by its present name
        self.if_of: str | None = None  # the action with an `if`
        self.conditions = True
        self.waits: dict[str, str] = {}  # by action, by its present name: hours, or a time of day
        self.split: dict[str, str] | None = None  # arms; the first action is for "a" alone
        self.leaves = False  # whether those who are silver leave
        self.ever_left = False  # whether that was ever in force
        self.limit: int | None = None  # guard.at_most
        self.answer = "approve"  # what a person says whom the guard asks
        self.released: set[str] = set()  # snapshots of spans that the guard had a say about
        self.approved: set[Identity] = set()  # after a rejection: that lifts ``max_age``
        self.rejected: set[Identity] = set()  # by a person's word, the last one
        self.enrolled: dict[str, int] = {}  # contacts whose enrolment was approved, and its day
        self.quarantines: set[int] = set()
        self.was_quarantined = False  # whether any snapshot ever was
        self.suppressed: set[str] = set()
        self.forgotten: set[str] = set()
        self.arrivals: list[Arrival] = []
        self.resends = False  # whether `on_uncertain: resend` was ever in force
        self.only_records: dict[str, bool] = {}  # by run, as it was last detected
        self.violations: list[str] = []
        self.mood = Mood()
        self.workers = 0
        self.outboxes = {action: Outbox() for action in ACTIONS}
        self.clock = Clock(lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # Snapshots

    def snapshot(self, day: int, people: Population, *, complete: bool = True) -> None:
        """A snapshot appears, at the earliest an hour after its day."""
        folder = self.folder / "snapshots" / key_of(day)
        folder.mkdir(parents=True)
        rows = [
            {
                "contact_id": contact,
                "tier": "gold" if person.gold else "silver",
                "phone": "1" if person.phone else "",
                "unsubscribed": "false" if person.opted_in else "true",
            }
            for contact, person in sorted({**people, "z": Person(False, True, True)}.items())
        ]
        if day % 2:
            frame = pd.DataFrame(rows).astype("str").replace({"phone": {"": None}})
            frame["unsubscribed"] = frame["unsubscribed"] == "true"
            frame.to_parquet(folder / "contacts.parquet", index=False)
        else:
            with (folder / "contacts.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        self.snapshots[day] = people
        self.incomplete.add(day)
        if complete:
            self.complete(day)
        self.now = max(self.now, as_of(day) + timedelta(hours=1))

    def complete(self, day: int) -> None:
        (self.folder / "snapshots" / key_of(day) / "_SUCCESS").touch()
        self.incomplete.discard(day)

    @property
    def complete_days(self) -> list[int]:
        return sorted(set(self.snapshots) - self.incomplete)

    @property
    def good_days(self) -> list[int]:
        """The days of complete snapshots that no quarantine bars; by the last consent is judged."""
        return [day for day in self.complete_days if day not in self.quarantines]

    @property
    def newest_day(self) -> int:
        """The day of the newest snapshot that is complete, and not quarantined where one is."""
        return (self.good_days or self.complete_days)[-1]

    @property
    def newest(self) -> Population:
        return self.snapshots[self.newest_day]

    # Definitions

    @property
    def workflow(self) -> ResolvedWorkflow:
        """The workflow as it is written at this moment."""
        directory = {
            "directory": "people",
            "snapshots": str(self.folder / "snapshots"),
            "complete_marker": "_SUCCESS",
        }
        gold = {"field": "tier", "equals": "gold"}
        segment = {"segment": "gold", "directory": "people", "match": gold}
        text = TEXT + self.wording
        lines = f"{{% for contact in digest.contacts %}}{LINE}{self.wording}\n{{% endfor %}}"
        texts = {**dict.fromkeys(ACTIONS, text), "sum": lines}
        first = [] if self.first is None else [{"id": self.first, "recording": {"text": text}}]
        actions: list[dict[str, Any]] = [
            *first,
            {"id": "mail", "recording": {"text": text, "to_contact": True}},
            {"id": "follow", "after": "mail", "recording": {"text": text}},
            {"id": "sum", "digest": True, "after": "mail", "recording": {"text": lines}},
        ]
        definition = {
            "workflow": NAME,
            "segment": "gold",
            "changes": list(KINDS),
            "start": "2026-11-01",
            "actions": [self._written(action) for action in actions],
            **({"leave_when": SILVER} if self.leaves else {}),
            **({"split": self.split} if self.split else {}),
            **({"conditions": PHONE} if self.conditions else {}),
            "guard": {"at_most": self.limit},
            "branches": {"max": self.slices, "slice_size": 4},
            "policies": self.policies,
        }
        return ResolvedWorkflow(
            WorkflowDefinition.model_validate(definition),
            SegmentDefinition.model_validate(segment),
            DirectoryDefinition.model_validate(directory),
            {action: self._channel(action, texts[action]) for action in self.actions},
        )

    def _written(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Return an action with its `if` and its wait."""
        wait = self.waits.get(action["id"])
        is_time = wait is not None and ":" in wait
        return {
            **action,
            **({"if": PHONE} if action["id"] == self.if_of else {}),
            **({"wait": {"at": wait} if is_time else wait} if wait else {}),
            **({"only": "a"} if self.split and action["id"] == self.first else {}),
        }

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions as they are defined at this moment."""
        first = () if self.first is None else (self.first,)
        return (*first, "mail", "follow", "sum")

    def _channel(self, action: str, text: str) -> RecordingChannel:
        kind = AskableChannel if self.askable else RecordingChannel
        channel = kind.model_validate({"text": text, "to_contact": action == "mail"})
        channel._outbox = self.outboxes[action]  # the vendor's, whatever becomes of the definition
        return channel.answering(self._before).losing(partial_of(self._after, action))

    # The vendor

    def _before(self, key: str, message: Mapping[str, Any]) -> None:
        self._answer = self.mood.next_answer(message["text"][0])
        self._raise(ANSWERS.get(self._answer))

    def _after(self, action: str, key: str, message: Mapping[str, Any]) -> None:
        for line in message["text"].splitlines():
            contact, change, snapshot = line.split()[:3]
            identity = _delivery(action, contact, change, snapshot)
            self.violations += [f"{identity}: {problem}" for problem in self._wrong_with(identity)]
            self.arrivals.append(Arrival(identity, self.now, key))
        self._raise(ANSWERS_AFTER.get(self._answer))

    def _raise(self, error: Any) -> None:
        if error is not None:
            made = error()
            self.mood.dead |= isinstance(made, Died)
            raise made

    # What may be said of a message in the moment in which it arrives

    def received(self, **parts: str) -> list[Arrival]:
        """Return what arrived of an action, a contact, a change, a snapshot."""
        return [
            arrival
            for arrival in self.arrivals
            if all(getattr(arrival.identity, name) == value for name, value in parts.items())
        ]

    def _wrong_with(self, it: Identity) -> Iterator[str]:
        yield from self._forbidden(it)
        details = yield from self._wrong_with_change(it)
        if details is None:
            return
        yield from self._too_early(it)
        details = self._judged(it, details)
        if self.leaves and not details.gold:
            yield "the contact has left"
        if self.conditions and not details.phone:
            yield "the conditions do not hold"
        if it.action == self.if_of and not details.phone:
            yield "its if does not hold"
        if it.action == "mail":
            yield from self._wrong_for_contact(it)
        if it.action in ("follow", "sum") and not self.received(**{**vars(it), "action": "mail"}):
            yield "the action before it was not delivered"
        yield from self._too_often(it)
        if self.policies.get("recheck") and not self._stands(it):
            yield "the change does not stand any more"

    def _judged(self, it: Identity, details: Person) -> Person:
        """Return the details by which it is judged: after a wait those of the newest snapshot."""
        first = "mail" if it.action in ("follow", "sum") else it.action
        if not {first, it.action} & self.waits.keys():
            return details
        return self.newest.get(it.contact, details)

    def _too_early(self, it: Identity) -> Iterator[str]:
        """Yield that a wait is not over, which begins with the change, or with the mail."""
        if it.action not in self.waits:
            return
        begins = [as_of(self._day(it))]
        if it.action == "follow":
            begins = [each.at for each in self.received(**{**vars(it), "action": "mail"})]
        if begins and self.now < wait_end(self.waits[it.action], begins[0]):
            yield f"it waits {self.waits[it.action]}, and it is only {self.now}"

    def _forbidden(self, it: Identity) -> Iterator[str]:
        """Yield what forbids a message, whatever its change is."""
        before = sum(arrival.identity == it for arrival in self.arrivals)
        if before > self.resends:
            yield f"received {before + 1} times"
        if it.action not in self.actions:
            yield "the action is not defined any more"
        if it in self.rejected:
            yield "a person rejected it, or quarantined its snapshot"
        if it.contact in self.forgotten:
            yield "the contact was forgotten"
        if self.ledger.people.stopped(NAME):
            yield "the workflow is stopped"
        share = self._share
        if share is not None and held_out(it.contact, share):
            yield "the contact is held out"
        if self._is_of_another_arm(it):
            yield "the action is for another arm"

    def _is_of_another_arm(self, it: Identity) -> bool:
        """Arm "a" has the lowest numbers, as the first by its name."""
        if self.split is None or it.action != self.first:
            return False
        digest = hashlib.sha256(f'["{NAME}","split","{it.contact}"]'.encode()).digest()
        share = float(self.split["a"].removesuffix("%")) / 100
        return int.from_bytes(digest[:8]) >= share * 2**64

    def _wrong_with_change(self, it: Identity) -> Generator[str, None, Person | None]:
        """Return the details of the contact as the change has them; None where there is none."""
        if it.change == ENROLLED:
            person = self.snapshots[self.enrolled.get(it.contact, 0)].get(it.contact)
            if it.contact not in self.enrolled or person is None or not person.gold:
                yield "nobody approved such an enrolment"
                return None
            if self._reached(it.contact, "added", 0):
                yield "the contact was added before"
            return person
        if it.snapshot not in self.released and it not in self.approved:
            yield "the guard has not released it"
        span = self._span_of(it.snapshot)
        change = span and self._change_in((span.days[0], span.days[1]), it)
        if not span or not change:
            yield "no recorded span has such a change"
            return None
        if it.change == "added" and self._reached(it.contact, ENROLLED, span.begins):
            yield "the contact was enrolled"
        return self._details(span.days, change)[it.contact]

    def _reached(self, contact: str, change: str, since: int) -> bool:
        """Tell whether a contact received anything for such a change of that day, or later."""
        found = {a.identity for a in self.received(contact=contact, change=change)}
        return any(self._day(one) >= since for one in self._known(found))

    def _day(self, it: Identity) -> int:
        return self.enrolled[it.contact] if it.change == ENROLLED else day_of(it.snapshot)

    def _wrong_for_contact(self, it: Identity) -> Iterator[str]:
        person = self.newest.get(it.contact)
        if person is None or not person.opted_in:
            yield "the contact is opted out, or gone"
        if it.contact in self.suppressed:
            yield "the contact is on the suppression list"
        if self.policies.get("quiet_hours") and self.is_quiet:
            yield "it is quiet"
        if (cap := self._cap) is not None:
            recent = {
                a.identity
                for a in self.received(action="mail", contact=it.contact)
                if a.at > self.now - cap[1]
            }
            if len(self._known(recent - {it})) >= cap[0]:
                yield "the cap is exceeded"

    def _too_often(self, it: Identity) -> Iterator[str]:
        once = self.policies.get("once_per_contact")
        if once is None:
            return
        for arrival in self.received(action=it.action, contact=it.contact):
            near = self._near(once, it, arrival.identity)
            if arrival.identity != it and near and self._known({arrival.identity}):
                yield f"once_per_contact: {arrival.identity} was received before"

    def _known(self, identities: set[Identity]) -> set[Identity]:
        """Leave out what arrived in doubt and was, by `on_uncertain: resend`, begun again."""
        if not self.resends:
            return identities
        reached = ("sending", "delivered", "uncertain")
        rows = self.ledger.queries.list_deliveries()
        return identities & {_identity(row) for row in rows if row.outcome in reached}

    def _near(self, once: str, one: Identity, other: Identity) -> bool:
        apart = abs(self._day(one) - self._day(other))
        return once == "ever" or apart < int(once.removesuffix("d"))

    @property
    def is_quiet(self) -> bool:
        return self.now.hour >= 21 or self.now.hour < 8

    @property
    def _share(self) -> float | None:
        share = self.policies.get("holdout")
        return None if share is None else float(share.removesuffix("%")) / 100

    @property
    def _cap(self) -> tuple[int, timedelta] | None:
        caps = self.policies.get("frequency_cap")
        if not caps:
            return None
        count, unit = next(iter(caps.values())).split(" per ")
        return int(count), timedelta(days=1 if unit == "day" else 7)

    def _span_of(self, snapshot: str) -> Covered | None:
        """Return the recorded span of changes that ends with a snapshot."""
        return next((span for span in self._covered() if span.ends_with == snapshot), None)

    def _covered(self) -> list[Covered]:
        """Return the recorded spans of changes."""
        return [
            Covered(
                (day_of(span.stretch.previous.key), day_of(span.stretch.current.key)),
                day_at(span.stretch.previous.as_of),
                span.stretch.current.key,
                span.run_id,
            )
            for span in self.ledger.runs.all_spans(NAME)
            if span.kind == "changes"
        ]

    def _change_in(self, span: tuple[int, int], it: Identity) -> tuple[str, str, bool] | None:
        found = true_changes(*(self.snapshots[day] for day in span))
        return next((each for each in found if each[:2] == (it.contact, it.change)), None)

    def _details(self, span: tuple[int, int], change: tuple[str, str, bool]) -> Population:
        """Return the snapshot that a change's details come from: of the deleted, the previous."""
        return self.snapshots[span[0] if change[2] else span[1]]

    def _stands(self, it: Identity) -> bool:
        if self._day(it) == self.newest_day:
            return True
        person = self.newest.get(it.contact)
        if it.change == "removed":
            return not (person and person.gold)
        if person is None or not person.gold or (self.conditions and not person.phone):
            return False
        return it.change in ("added", ENROLLED) or person.opted_in == (it.change == "opted_in")

    # What Airflow does

    def start(self, run: Run, wishes: Wishes, mood: Mood, *, until: str = "report") -> DagRun:
        """A DAG run, or the same one once more after a person cleared it from detect_changes."""
        known = self.runs.get(run.run_id)
        clear = known.run.clear_number + 1 if known else 0
        dag_run = DagRun(replace(run, clear_number=clear), wishes)
        self.runs[run.run_id] = dag_run
        with self._worker(mood) as ledger:
            self._detect(dag_run, ledger)
            if until != "detect_changes":
                self._guard_and_prepare(dag_run, ledger)
        if until == "report" and not mood.dead:
            self.deliver(dag_run, self.actions, mood)
        return dag_run

    def retry(self, dag_run: DagRun, mood: Mood) -> None:
        """Airflow tries again what did not end; a person, where a step before it failed."""
        if dag_run.prepared and not dag_run.stale:
            self.deliver(dag_run, self.actions, mood)
        else:
            self.start(dag_run.run, dag_run.wishes, mood)

    def clear(self, dag_run: DagRun, mood: Mood) -> DagRun:
        """A person clears the run from detect_changes."""
        return self.start(dag_run.run, dag_run.wishes, mood)

    def clear_guard(self, dag_run: DagRun, mood: Mood) -> None:
        """A person clears the run from the guard: its branches stay as they were cut."""
        self._raise_clear_number(dag_run, self.actions)
        dag_run.prepared = False
        with self._worker(mood) as ledger:
            self._guard_and_prepare(dag_run, ledger)
        self.deliver(dag_run, self.actions, mood)

    def clear_action(self, dag_run: DagRun, action: str, mood: Mood) -> None:
        """A person clears one action's tasks and all behind them."""
        actions = ("mail", "follow", "sum") if action == "mail" else (action,)
        self._raise_clear_number(dag_run, actions)
        self.deliver(dag_run, actions, mood)

    def _raise_clear_number(self, dag_run: DagRun, actions: Sequence[str]) -> None:
        dag_run.run = replace(dag_run.run, clear_number=dag_run.run.clear_number + 1)
        dag_run.ended = {task for task in dag_run.ended if task[0] not in actions}

    def deliver(self, dag_run: DagRun, actions: Iterable[str], mood: Mood) -> None:
        """Try those of the actions' tasks that have not ended; each has a process of its own."""
        for action in actions:
            if action not in self.actions:
                continue  # its task is gone with it
            passed = [ref for ref in dag_run.refs or () if ref.number in dag_run.passed]
            tasks = {ref.number: [ref] for ref in passed}
            if action == "sum" and passed:
                tasks = {-1: passed}
            for number, refs in tasks.items():
                if (action, number) in dag_run.ended:
                    continue
                mood.dead = False
                with self._worker(mood) as ledger:
                    try:
                        if self._deliver(dag_run, action, refs, ledger):
                            dag_run.ended.add((action, number))
                    except AudienceEdited:
                        dag_run.stale = True

    def _deliver(
        self, dag_run: DagRun, action: str, refs: Sequence[BranchRef], ledger: Ledger
    ) -> bool:
        resolved = self.workflow
        work = resolved, resolved.definition.action(action)
        how = {
            "owner": self._owner(),
            "clear_number": dag_run.run.clear_number,
            "memberships": self.store,
            "clock": self.clock,
        }
        if action == "sum":
            return deliver(*work, refs, ledger, link="", **how).is_complete
        return deliver(*work, refs[:1], ledger, **how).is_complete

    def release(self, mood: Mood) -> None:
        """One run of segue_release, which tells of what goes wrong in it."""
        work = []
        before = {row.key: row for row in self.ledger.queries.list_deliveries()}
        with self._worker(mood) as ledger:
            for request in ledger.people.open_requests():
                ledger.people.carry_out(request, self.now)
            ledger.deliveries.free_expired(self.now)
            work = ledger.deliveries.actions_with_work(self.now)
        for _, action in work:
            mood.dead = False
            if action not in self.actions:
                await_definition(NAME, action, self.ledger, self.now)
                continue
            with self._worker(mood) as ledger:
                resume(
                    self.workflow,
                    action,
                    ledger,
                    owner=self._owner(),
                    memberships=self.store,
                    clock=self.clock,
                )

        self._hear(before)

    def _hear(self, before: Mapping[str, ListedDelivery]) -> None:
        """Note what went wrong since ``before`` and that nobody would be told of."""
        wrong: Counter[tuple[str, str]] = Counter()
        for key, row in ((row.key, row) for row in self.ledger.queries.list_deliveries()):
            outcome = "expired" if row.reason == "expired" else row.outcome
            is_sent_again = outcome == "uncertain" and row.held_until is not None
            then = before.get(key)
            if outcome in ("failed", "uncertain", "expired") and not is_sent_again:
                same = then is not None and (then.outcome, then.reason) == (row.outcome, row.reason)
                wrong[row.action, outcome] += not same
        for action in ACTIONS:
            untold = self.ledger.deliveries.untold(NAME, action)
            for late in untold.outcomes:
                wrong[action, late.outcome] -= late.count
            self.ledger.deliveries.mark_told(untold)
        self.violations += [f"nobody is told of {each}" for each in sorted(+wrong)]

    def release_without_definitions(self) -> None:
        """One run of segue_release while SEGUE_HOME is missing, or half copied."""
        with self._worker(Mood()) as ledger:
            ledger.deliveries.free_expired(self.now)
            for name, action in ledger.deliveries.actions_with_work(self.now):
                await_definition(name, action, ledger, self.now)

    def drop(self) -> None:
        """A person gives up what is held."""
        self._request(RequestKind.DROP, Selection(workflow=NAME))

    def _request(self, kind: RequestKind, meant: Selection, *how: Settlement) -> None:
        number = self.ledger.people.file_request(kind, meant, "ann", self.now, *how)
        [filed] = [each for each in self.ledger.people.open_requests() if each.id == number]
        self.ledger.people.carry_out(filed, self.now)

    def settle(self) -> None:
        """A person finds out what became of each uncertain delivery, and says so."""
        for row in self.ledger.queries.list_deliveries(outcome="uncertain"):
            arrived = any(arrival.identity == _identity(row) for arrival in self.arrivals)
            settlement = Settlement.DELIVERED if arrived else Settlement.NOT_DELIVERED
            self._request(RequestKind.SETTLE, Selection(keys=(row.key,)), settlement)

    def request_retry(self) -> None:
        self.ledger.people.file_request(
            RequestKind.RETRY, Selection(workflow=NAME), "ann", self.now
        )

    # What people decide about contacts and snapshots

    def quarantine(self, day: int) -> None:
        """Nothing of the spans that touch the snapshot is to begin any more."""
        key = key_of(day)
        touched = {span.ends_with for span in self._covered() if day in span.days}
        self.ledger.people.quarantine("people", key, reason="", by="ann", now=self.now)
        self._note_quarantine(day, touched)

    def _note_quarantine(self, day: int, touched: set[str]) -> None:
        self.quarantines.add(day)
        self.was_quarantined = True
        self.rejected |= {
            _identity(row)
            for row in self.ledger.queries.list_deliveries()
            if row.snapshot in (touched if row.change != ENROLLED else {key_of(day)})
            and row.outcome != "delivered"
            and row.reason != "no_longer_a_change"
        }

    def end_quarantine(self, day: int) -> None:
        self.ledger.people.end_quarantine("people", key_of(day))
        self.quarantines.discard(day)

    def suppress(self, contact: str) -> None:
        self.ledger.people.suppress([contact], "ann", "", self.now)
        self.suppressed.add(contact)

    def unsuppress(self, contact: str) -> None:
        self.ledger.people.unsuppress([contact])
        self.suppressed.discard(contact)

    def forget(self, contact: str) -> None:
        """It is suppressed at once; what is under way has to end before it is erased."""
        self.forgotten.add(contact)
        with suppress(LedgerError):
            forget(self.ledger, str(self.folder / "state"), contact, "ann", self.now)

    def meddle_from_another_namespace(self, day: int) -> None:
        """People of another namespace in the same ledger do what they like: nothing of ours."""
        before = self.ledger.queries.list_deliveries()
        other = Ledger(self.engine, f"{self.namespace} too", SECRET, is_new=True)
        other.people.quarantine("people", key_of(day), reason="", by="eve", now=self.now)
        other.people.suppress(CONTACTS, "eve", "", self.now)
        other.people.stop(NAME, "eve", "", self.now)
        for kind in (RequestKind.RETRY, RequestKind.DROP):
            other.people.file_request(kind, Selection(workflow=NAME), "eve", self.now)
        for request in other.people.open_requests():
            other.people.carry_out(request, self.now)
        other.deliveries.free_expired(self.now)
        with suppress(SegueError):
            run = Run(NAME, "from another namespace")
            detect(RunContext(self.workflow, run, other, self.now), self.store)
        if self.ledger.queries.list_deliveries() != before or other.deliveries.actions_with_work(
            self.now
        ):
            self.violations.append("another namespace changed something, or has work to do")

    def refuses_a_changed_namespace(self) -> None:
        """SEGUE_NAMESPACE was changed: nothing is recorded under the new one."""
        other = Ledger(self.engine, f"{self.namespace} changed")
        run = Run(NAME, "changed")
        try:
            detect(RunContext(self.workflow, run, other, self.now), self.store)
        except SettingsError:
            return
        self.violations.append("a changed namespace began anew")

    @contextmanager
    def _worker(self, mood: Mood) -> Iterator[Ledger]:
        """The process of a task: what Segue raises fails it, and death ends it."""
        self.mood = mood
        ledger = MortalLedger(mood, self.engine, self.namespace, SECRET, is_new=True)
        self.resends |= self.policies.get("on_uncertain") == "resend"
        self.ever_left |= self.leaves
        with suppress(SegueError, Died):
            yield ledger

    def _owner(self) -> str:
        self.workers += 1
        return f"worker-{self.workers}"

    def _detect(self, dag_run: DagRun, ledger: Ledger) -> None:
        resolved = self.workflow
        found = detect(
            RunContext(resolved, dag_run.run, ledger, self.now, dag_run.wishes), self.store
        )
        self.only_records[dag_run.run.run_id] = (
            dag_run.run.is_backfill and self.policies.get("backfill", "record") == "record"
        )
        changes = [
            change
            for span in found.spans
            for change in changes_of_span(span.stretch, ledger.queries.changes_to_handle(span.id))
        ]
        area = RunArea.of_run(str(self.folder / "state"), self.namespace, NAME, dag_run.run.run_id)
        area.write_audience(resolved.audience)
        dag_run.refs = area.write_slices(cut(changes, resolved.definition.branches))

    def _guard(self, dag_run: DagRun, ledger: Ledger) -> None:
        context = RunContext(self.workflow, dag_run.run, ledger, self.now, dag_run.wishes)
        recorded = context.record()
        judge_policies(context, recorded)
        spans = context.live_spans(recorded)
        ids = [span.id for span in spans]
        if question(context, recorded) is None:
            ledger.runs.release(ids, self.now, self.workflow.action_ids)
        elif self.answer == "approve":
            waiting = self._of_spans(spans)
            yes = Decision("approved", "ann", self.now)
            ledger.runs.approve(recorded, ids, yes, self.workflow.action_ids)
            self.approved |= {it for it, row in waiting.items() if row.reason == "rejected"}
            self.rejected -= set(waiting)
            self.enrolled |= {
                it.contact: day_of(row.snapshot)
                for it, row in waiting.items()
                if it.change == ENROLLED
                and row.outcome in ("planned", "suppressed")
                and row.reason != "forgotten"
            }
        else:
            self._reject(recorded, spans, ledger)
        for span in spans:
            if span.kind == "changes" and self._may_be_released(dag_run, span.stretch.current.key):
                self.released.add(span.stretch.current.key)

    def _reject(self, recorded: RecordedRun, spans: Sequence[RecordedSpan], ledger: Ledger) -> None:
        ids, no = [span.id for span in spans], Decision("rejected", "ann", self.now)
        planned = {it for it, row in self._of_spans(spans).items() if row.outcome == "planned"}
        if self.answer == "reject":
            ledger.runs.reject(recorded, ids, no)
        else:
            day = day_of(spans[-1].stretch.current.key)
            touched = {span.ends_with for span in self._covered() if day in span.days}
            ledger.runs.reject_snapshot(recorded, ids, no, directory="people", key=key_of(day))
            self._note_quarantine(day, touched)
        self.rejected |= planned

    def _of_spans(self, spans: Sequence[RecordedSpan]) -> dict[Identity, Mapping[str, Any]]:
        """Return what is recorded for the changes of some spans."""
        ends = {(span.kind == "enrolment", span.stretch.current.key) for span in spans}
        rows = self.ledger.queries.list_deliveries()
        return {
            _identity(row): row for row in rows if (row.change == ENROLLED, row.snapshot) in ends
        }

    def _may_be_released(self, dag_run: DagRun, snapshot: str) -> bool:
        """What the policies ``backfill`` and ``max_age`` say, in the model's own words."""
        if dag_run.wishes.deliver:
            return True
        if self.only_records.get(dag_run.run.run_id):
            return False
        days = int(self.policies["max_age"].removesuffix("d"))
        return as_of(day_of(snapshot)) >= self.now - timedelta(days=days)

    def _guard_and_prepare(self, dag_run: DagRun, ledger: Ledger) -> None:
        if dag_run.refs is None:
            return  # detect_changes failed: nothing runs behind it, whoever clears the guard
        self._guard(dag_run, ledger)
        for ref in dag_run.refs:
            load_branch(self.workflow, ref, Desk(ledger, self.clock), self.store)
            if check_branch(self.workflow, ref, ledger, self.now)[0]:
                dag_run.passed.add(ref.number)
            else:
                dag_run.passed.discard(ref.number)
        dag_run.prepared = True

    # The end: everything is well, and nothing is done by a person that Segue does by itself

    def let_it_end(self, troubles: Sequence[Mood]) -> None:
        """Airflow retries what has not ended, segue_release takes up what is due, for days.

        ``troubles`` are the first days' moods.
        """
        self.ledger.people.go(NAME)
        for day in list(self.incomplete):
            self.complete(day)
        for dag_run in list(self.runs.values()):
            if not dag_run.prepared:
                self.start(dag_run.run, dag_run.wishes, Mood())
        days = 7 if self.waits else 3  # of journeys that begin when all goes well again
        for mood in (*troubles, *(Mood() for _ in range(days))):
            self.now = _noon_after(self.now)
            self.release(mood)
            for contact in sorted(self.forgotten):
                self.forget(contact)
            for dag_run in list(self.runs.values()):
                self.retry(dag_run, mood)  # a worker may die while a run is cleared, too

    def cover_everything(self) -> None:
        """Every day has its run, and `segue gaps` names the others; all snapshots are good."""
        self.answer = "approve"
        for day in list(self.quarantines):
            self.end_quarantine(day)
        days = sorted(self.snapshots)
        for day in range(days[0], days[-1] + 1):
            end = as_of(day) + timedelta(hours=6)
            run = Run(NAME, f"scheduled {end}", (end - timedelta(days=1), end))
            if run.run_id not in self.runs:
                self.start(run, Wishes(), Mood())
        spans = [span.stretch for span in self.ledger.runs.all_spans(NAME)]
        resolved = self.workflow
        snapshots = list_snapshots(resolved.directory, now=self.now)
        for gap in gaps(resolved, spans, snapshots, self.now):
            wishes = Wishes(gap.stretch.previous.key, gap.stretch.current.key)
            self.start(Run(NAME, f"gap {wishes.previous} {wishes.current}"), wishes, Mood())

    def clear_everything(self) -> None:
        """A person settles what is uncertain and clears every run; Airflow retries what is left.

        Of two changes of a contact in one run, the later waits for what becomes of the first.
        """
        self.now = _noon_after(self.now)
        for action in set(ACTIONS) - set(self.actions):
            self._request(RequestKind.DROP, Selection(workflow=NAME, action=action))
        self.settle()
        for dag_run in list(self.runs.values()):
            self.retry(self.clear(dag_run, Mood()), Mood())
        self._let_waits_end()
        # what was rejected of an action that is gone is released with the rest, and then told of
        for dag_run in list(self.runs.values()):
            if any("clear the run" in problem for problem in self._problems_of(dag_run)):
                self.clear(dag_run, Mood())

        self._let_waits_end()

    def _let_waits_end(self) -> None:
        """What waits is sent by segue_release, and what comes after it waits in its turn."""
        for _ in range(6 if self.waits else 0):
            self.now = _noon_after(self.now)
            self.release(Mood())

    # What must hold, at any time and at the end

    def overlapping(self) -> list[str]:
        """Return the pairs of recorded spans that have time in common."""
        spans = [s.stretch for s in self.ledger.runs.all_spans(NAME) if not s.stretch.is_empty]
        ordered = sorted(spans, key=lambda stretch: stretch.previous.as_of)
        return [
            f"{one} {other}"
            for one, other in pairwise(ordered)
            if other.previous.as_of < one.current.as_of
        ]

    def uncovered(self) -> list[int]:
        """Return the days between the first snapshot and the last that no span covers."""
        covered = {
            day
            for span in self.ledger.runs.all_spans(NAME)
            for day in range(
                day_at(span.stretch.previous.as_of) + 1, day_of(span.stretch.current.key) + 1
            )
        }
        days = sorted(self.snapshots)
        return [day for day in range(days[0] + 1, days[-1] + 1) if day not in covered]

    def unfinished(self) -> list[str]:
        """Return the deliveries that nothing takes up any more and that have no outcome."""
        final = ("delivered", "failed", "uncertain", "skipped", "suppressed")
        rows = [row for row in self.ledger.queries.list_deliveries() if row.action in self.actions]
        return [f"{_identity(r)} {r.outcome}" for r in rows if r.outcome not in final]

    def lost(self) -> list[str]:
        """Return the true changes of covered time that were neither delivered nor, rightly, not."""
        rows = {_identity(row): row for row in self.ledger.queries.list_deliveries()}
        problems = []
        for it, details, covered in self._expected():
            row = rows.get(it)
            if row is None:
                right = self._left_out(it, covered, rows)
            else:
                right = self._accounted_for(it, row, details, covered)
            if not right:
                problems.append(f"{it} {row and (row.outcome, row.reason)}")
        return problems

    def _expected(self) -> Iterator[tuple[Identity, Person, Covered | None]]:
        """Yield what is to be accounted for: true changes of covered time, and enrolments."""
        for contact, day in sorted(self.enrolled.items()):
            for action in self.actions:
                if contact not in self.forgotten:
                    it = Identity(action, contact, ENROLLED, "")
                    yield it, self.snapshots[day][contact], None
        for span in self._covered():
            for change in sorted(true_changes(*(self.snapshots[day] for day in span.days))):
                for action in self.actions:
                    if change[0] not in self.forgotten:
                        it = Identity(action, *change[:2], span.ends_with)
                        yield it, self._details(span.days, change)[it.contact], span

    def _left_out(
        self, it: Identity, covered: Covered | None, rows: Mapping[Identity, Mapping[str, Any]]
    ) -> bool:
        """Tell whether another span acts on it: one that a quarantine kept, or on the addition.

        Whoever was added is not enrolled in an action that the enrolment did not know.
        """
        if covered is None:
            return any(
                other.change == "added" and (other.action, other.contact) == (it.action, it.contact)
                for other in rows
            )
        return any(
            covered.days[0] < day_of(other.snapshot) <= covered.begins
            for other in rows
            if other.change != ENROLLED and replace(other, snapshot="") == replace(it, snapshot="")
        )

    def _accounted_for(
        self, it: Identity, row: Mapping[str, Any], details: Person, covered: Covered | None
    ) -> bool:
        arrived = bool(self.received(**vars(it)))
        if row.outcome == "delivered":
            return arrived
        if row.outcome == "suppressed":
            # what was in doubt and is to be sent again may have arrived, and nobody knows it
            return (self.resends or not arrived) and self._rightly_suppressed(it, row, covered)
        if row.outcome != "skipped":
            return False
        reason, _, _ = row.reason.partition(":")
        person, policies = self.newest.get(it.contact), self.policies
        judged = self._judged(it, details)
        once = policies.get("once_per_contact")
        others = self.received(action=it.action, contact=it.contact)
        return {
            "conditions": lambda: self.conditions and not (details.phone and judged.phone),
            "if": lambda: it.action == self.if_of and not judged.phone,
            "left": lambda: self.ever_left,
            "arm": lambda: self._is_of_another_arm(it),
            "suppression_list": lambda: it.contact in self.suppressed,
            "no_longer_a_change": lambda: it.change == ENROLLED and self._has("added", it.contact),
            "after": lambda: self.resends or not self.received(**{**vars(it), "action": "mail"}),
            "opted_out": lambda: person is not None and not person.opted_in,
            "deleted": lambda: person is None,
            "holdout": lambda: self._share is not None and held_out(it.contact, self._share),
            "once_per_contact": lambda: any(
                once is not None and self._near(once, it, other.identity)
                for other in others
                if other.identity != it
            ),
            "frequency_cap": lambda: self._cap is not None and len(others) >= self._cap[0],
            "expired": lambda: "quiet_hours" in policies,
            "recheck": lambda: policies.get("recheck", False),
        }[reason]()

    def _rightly_suppressed(
        self, it: Identity, row: Mapping[str, Any], covered: Covered | None
    ) -> bool:
        if row.reason == "rejected":
            return it in self.rejected
        if row.reason in ("in_hand", "sent_before") and self.was_quarantined:
            return True
        if row.reason == "reached":
            return self._has("added" if it.change == ENROLLED else ENROLLED, it.contact)
        return covered is not None and not self._may_be_released(
            self.runs[covered.run_id], it.snapshot
        )

    def _has(self, change: str, contact: str) -> bool:
        rows = self.ledger.queries.list_deliveries(contact_id=contact)
        return any(row.change == change for row in rows)

    def unaccounted(self) -> list[str]:
        """Return the problems that the report of a run shows."""
        return [each for run in self.runs.values() for each in self._problems_of(run)]

    def _problems_of(self, dag_run: DagRun) -> Sequence[str]:
        recorded = self.ledger.runs.find_run(NAME, dag_run.run.run_id)
        if recorded is None:
            return ()
        return report_run(self.workflow, recorded, self.ledger).problems


def _noon_after(now: datetime) -> datetime:
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    return noon if now < noon else noon + timedelta(days=1)


def partial_of(method, action):
    return lambda key, message: method(action, key, message)


def day_of(key: str) -> int:
    """The day of a snapshot's key."""
    return (date.fromisoformat(key) - FIRST_DAY).days


def day_at(instant: datetime) -> int:
    """The day whose snapshot has this as-of."""
    return (instant.date() - FIRST_DAY).days - 1


def _identity(row: ListedDelivery) -> Identity:
    return _delivery(row.action, row.contact_id, row.change, row.snapshot)


def _delivery(action: str, contact: str, change: str, snapshot: str) -> Identity:
    return Identity(action, contact, change, "" if change == ENROLLED else snapshot)
