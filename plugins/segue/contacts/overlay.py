"""What was looked up, laid over a snapshot's details.

The fields that the source gives take the place of the snapshot's of the same name, missing ones
among them; all others stay the snapshot's. Only opt-outs are never taken back: a contact is
unsubscribed where either says so. A contact that the source has not is left out, as one that a
snapshot has not; one that could not be looked up is kept with the reason, and fails at the door.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from segue.contracts.live_source import Answer, LiveSource
from segue.directory.definition import UNSUBSCRIBED
from segue.errors import ContactFailure
from segue.segments.columns.arrow import array_of, values_of
from segue.segments.columns.column_source import column_of
from segue.segments.population import Population

PROBLEM = "look_up"  # begins the reason of what failed because its details were refused


def lay_over(
    population: Population,
    source: LiveSource,
    answers: Mapping[str, Answer],
    unasked: Collection[str] = (),
) -> Population:
    """Return the details with what was looked up; contacts that the source has not are left out.

    ``unasked`` are contacts that keep the snapshot's details.
    """
    contacts = population.contacts
    ids = contacts["contact_id"]
    mask = ids.isin({*answers, *unasked}).to_numpy(dtype=bool)
    contacts = contacts[mask].reset_index(drop=True)
    looked_up = _verdicts(
        [contact for contact in contacts["contact_id"] if contact in answers], answers
    )
    columns = {
        name: _live_column(contacts, name, answers)
        for name in source.provides
        if name != UNSUBSCRIBED
    }
    if UNSUBSCRIBED in source.provides:
        opted_out = looked_up["contact_id"][looked_up["opted_out"]]
        columns[UNSUBSCRIBED] = _opt_outs(contacts, opted_out, population)
    segments = population.segments
    return replace(
        population,
        contacts=contacts.assign(**columns),
        segments=None if segments is None else segments[mask].reset_index(drop=True),
        looked_up=looked_up,
    )


def _verdicts(contact_ids: Sequence[str], answers: Mapping[str, Answer]) -> pd.DataFrame:
    """Return, a row each, whose details were refused and why, and who wants no messages."""
    answers_in_order = [answers[contact] for contact in contact_ids]
    problems = [str(one) if isinstance(one, ContactFailure) else None for one in answers_in_order]
    opted_out = [bool(_fields(one).get(UNSUBSCRIBED)) for one in answers_in_order]
    return pd.DataFrame(
        {
            "contact_id": pd.Series(contact_ids, dtype="str"),
            "problem": pd.Series(problems, dtype="str"),
            "opted_out": pd.Series(opted_out, dtype=bool),
        }
    )


def problems_of(population: Population) -> dict[str, str]:
    """Return why contacts could not be looked up, by id."""
    rows = population.looked_up
    if rows is None:
        return {}
    rows = rows[rows["problem"].notna()]
    return {
        str(contact): f"{PROBLEM}: {problem}"
        for contact, problem in zip(rows["contact_id"], rows["problem"], strict=True)
    }


def opted_out_live(population: Population) -> frozenset[str]:
    """Return the contacts that, by the live source, want no messages."""
    rows = population.looked_up
    if rows is None:
        return frozenset()
    return frozenset(map(str, rows["contact_id"][rows["opted_out"].to_numpy(dtype=bool)]))


def recalled(source: LiveSource | None, loaded: Iterable[Population]) -> dict[str, Answer]:
    """Return the answers that were laid over these details, by contact."""
    answers: dict[str, Answer] = {}
    if source is None:
        return answers
    for population in loaded:
        problems = {c: ContactFailure(p) for c, p in problems_of(population).items()}
        frame, rows = population.contacts, population.looked_up
        earlier_ids = () if rows is None else set(rows["contact_id"])
        columns = {name: values_of(frame[name]) for name in source.provides}
        for row, contact in enumerate(frame["contact_id"]):
            if contact in earlier_ids:
                fields = {name: values[row] for name, values in columns.items()}
                answers[contact] = problems.get(contact, fields)
    return answers


def _fields(answer: Answer) -> Mapping[str, Any]:
    return {} if isinstance(answer, ContactFailure) else answer


def _live_column(contacts: pd.DataFrame, name: str, answers: Mapping[str, Answer]) -> Any:
    """Return a column of what was looked up; the snapshot's values where nobody was asked."""
    snapshot_values = (
        values_of(contacts[name]) if name in contacts.columns else [None] * len(contacts)
    )
    values = [
        _fields(answers[contact]).get(name) if contact in answers else theirs
        for contact, theirs in zip(contacts["contact_id"], snapshot_values, strict=True)
    ]
    return pd.arrays.ArrowExtensionArray(array_of(values))


def _opt_outs(contacts: pd.DataFrame, opted_out: Collection[str], population: Population) -> Any:
    """Return who is unsubscribed: by the source, or by the snapshot."""
    live = contacts["contact_id"].isin(opted_out).to_numpy(dtype=bool)
    if UNSUBSCRIBED in contacts.columns:
        live = live | column_of(contacts[UNSUBSCRIBED], population.zone).booleans.true
    return live
