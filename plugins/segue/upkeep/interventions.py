"""What a person may ask for, in the command line and in the UI alike, with the same checks.

``retry``, ``settle`` and ``drop`` are filed, and ``segue_release`` carries them out; ``stop``,
``go``, ``suppress``, ``allow``, ``quarantine`` and ``release`` take effect at once and are noted
beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.facts import Quarantined
from segue.ledger.people.release_requests import RequestKind, Seen, Selection, Settlement
from segue.ledger.people.stops import Stop
from segue.ledger.states import State

_STATES = {
    RequestKind.RETRY: "failed",
    RequestKind.SETTLE: "uncertain",
    RequestKind.DROP: "held or waiting",
}


def look(ledger: Ledger, kind: RequestKind, selection: Selection, seen: Seen | None = None) -> Seen:
    """Return what a request would concern, of what was ``seen``; SettingsError for nothing.

    It is shown to whoever asks, and comes back with the request: nothing else is meant by it.
    Keys to be settled are each those of an uncertain delivery, or the error names the others.
    """
    if selection.error is not None and not selection.error.strip():
        raise SettingsError(  # every reason contains it: a script whose variable was not set
            "the text that the reason is to contain is empty; give some of it, or leave it out to "
            "mean every reason; nothing was requested"
        )
    if kind is RequestKind.SETTLE:
        _require_uncertain(ledger, selection)
    sight = ledger.people.look(kind, selection, seen)
    if sight.count:
        return sight
    state = _STATES[kind]
    open_ones = ledger.people.meant_already(kind, selection)
    if open_ones:
        those = ", ".join(f"request {each}" for each in open_ones)
        raise SettingsError(
            f"every {state} delivery of {selection} is meant by {those} already, which "
            "segue_release has not carried out yet (see segue requests); nothing was requested"
        )
    since = "" if seen is None else " that you saw"
    raise SettingsError(
        f"there is no {state} delivery of {selection}{since}; nothing was requested"
    )


def retry(
    ledger: Ledger, selection: Selection, by: str, now: datetime, seen: Seen | None = None
) -> int:
    """Ask that failed deliveries be sent again; returns the request's number."""
    look(ledger, RequestKind.RETRY, selection, seen)
    return ledger.people.file_request(RequestKind.RETRY, selection, by, now, seen=seen)


def settle(
    ledger: Ledger,
    selection: Selection,
    settlement: Settlement,
    by: str,
    now: datetime,
    seen: Seen | None = None,
) -> int:
    """Say what became of uncertain deliveries; returns the request's number."""
    look(ledger, RequestKind.SETTLE, selection, seen)
    return ledger.people.file_request(RequestKind.SETTLE, selection, by, now, settlement, seen)


def drop(
    ledger: Ledger, selection: Selection, by: str, now: datetime, seen: Seen | None = None
) -> int:
    """Ask that what is held, or waits, be given up; returns the request's number."""
    look(ledger, RequestKind.DROP, selection, seen)
    return ledger.people.file_request(RequestKind.DROP, selection, by, now, seen=seen)


def stop(ledger: Ledger, workflow: str | None, by: str, reason: str, now: datetime) -> Stop:
    """Stop a workflow, or all (None), at once."""
    order = ledger.people.stop(workflow, by, reason, now)
    ledger.people.note("stop", Selection(workflow), by, now, reason=reason, outcome=str(order))
    return order


def go(ledger: Ledger, workflow: str | None, by: str, now: datetime) -> bool:
    """Lift a stop; returns whether there was one."""
    was_stopped = ledger.people.go(workflow)
    if was_stopped:
        name = "everything" if workflow is None else workflow
        outcome = f"{name} may go"
        ledger.people.note("go", Selection(workflow), by, now, reason="", outcome=outcome)
    return was_stopped


def suppress(
    ledger: Ledger,
    contacts: Sequence[str],
    by: str,
    reason: str,
    now: datetime,
    workflow: str | None = None,
) -> int:
    """Never write to these contacts; returns how many are new on the list.

    One contact is named in the note, with the ``workflow`` that it was seen in; of many, each has
    its own row of the suppression list.
    """
    count = ledger.people.suppress(contacts, by, reason, now)
    if count:
        one = contacts[0] if len(set(contacts)) == 1 else None
        outcome = f"{count} put on the suppression list"
        about = Selection(workflow, contact=one)
        ledger.people.note("suppress", about, by, now, reason=reason, outcome=outcome)
    return count


def allow(ledger: Ledger, contacts: Sequence[str], by: str, now: datetime) -> int:
    """Take contacts off the suppression list; returns how many were on it."""
    count = ledger.people.unsuppress(contacts)
    if count:
        about = Selection(contact=contacts[0]) if len(set(contacts)) == 1 else Selection()
        outcome = f"{count} taken off the suppression list"
        ledger.people.note("allow", about, by, now, reason="", outcome=outcome)
    return count


def quarantine(
    ledger: Ledger, directory: str, key: str, by: str, reason: str, now: datetime
) -> Quarantined:
    """Let no run use a snapshot; returns what became of the spans at it."""
    effect = ledger.people.quarantine(directory, key, reason=reason, by=by, now=now)
    outcome = f"{key} of {directory} is quarantined, {effect.rejected} not sent"
    ledger.people.note("quarantine", Selection(), by, now, reason=reason, outcome=outcome)
    return effect


def release(ledger: Ledger, directory: str, key: str, by: str, now: datetime) -> bool:
    """Let runs use a snapshot again; returns whether it was quarantined."""
    was_quarantined = ledger.people.end_quarantine(directory, key)
    if was_quarantined:
        outcome = f"{key} of {directory} may be used again"
        ledger.people.note("release", Selection(), by, now, reason="", outcome=outcome)
    return was_quarantined


def move(ledger: Ledger, workflow: str, project: str, by: str, now: datetime) -> None:
    """Make a workflow another project's, and note it."""
    before = ledger.runs.move(workflow, project)
    outcome = f"moved from {before or 'no project'} to {project or 'no project'}"
    ledger.people.note("move", Selection(workflow), by, now, reason="", outcome=outcome)


def _require_uncertain(ledger: Ledger, selection: Selection) -> None:
    """Raise SettingsError that names each key which is no uncertain delivery's.

    Of another workflow than the selection's nothing is told: who asks may not read that one.
    """
    states = ledger.people.states_of(selection.keys, selection.workflow)
    wrong = [
        f"{key}: {f'it is {states[key]}' if key in states else 'there is no such delivery'}"
        for key in selection.keys
        if states.get(key) is not State.UNCERTAIN
    ]
    if wrong:
        raise SettingsError("only uncertain deliveries can be settled\n" + "\n".join(wrong))
