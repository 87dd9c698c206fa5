"""No channel that comes with Segue is left out of what is held against all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segue.contracts.channel import BUILT_IN, channel_class
from segue.sandbox.faults import Fault
from tests.channels import people
from tests.channels.cases import CASES
from tests.torture.experiments import DIGEST_RACE, OTHERS, RESTARTS, STEPS
from tests.torture.plan import plan

TEMPLATES = Path(__file__).parents[2] / "include/templates"


def keys_of(name: str) -> set[str]:
    return {info.alias or field for field, info in channel_class(name).model_fields.items()}


def test_every_channel_has_a_case():
    """tests/channels says how to write one."""
    assert set(CASES) == set(BUILT_IN)


def test_no_contacts_id_is_part_of_anothers():
    """A fault is for a request with the id of its contact in it."""
    ids = {people.contact_id(name, kind) for name in CASES for kind in people.KINDS}
    assert not [(one, other) for one in ids for other in ids if one != other and one in other]


@pytest.mark.parametrize("full", [False, True])
def test_every_channel_is_in_every_experiment_of_the_torture(full):
    done = {(one.name, one.vendor) for one in plan(full=full)}
    wanted = {(name, channel) for name in (*STEPS, *OTHERS, RESTARTS) for channel in BUILT_IN}
    no_digest = {(DIGEST_RACE, channel) for channel in BUILT_IN if channel_class(channel).about_one}
    assert done >= wanted - no_digest


@pytest.mark.parametrize("name", CASES)
def test_a_case_writes_every_field_of_its_channel(name):
    """In one of its actions; each of them is one that a workflow may have."""
    written = set()
    for action in CASES[name].actions.values():
        channel_class(name).model_validate(dict(action.fields), context={"templates": TEMPLATES})
        written |= set(action.fields)
    assert written == keys_of(name)


@pytest.mark.parametrize("name", CASES)
def test_a_case_agrees_with_its_channel_on_asking(name):
    """And its look-up is a fault that the sandbox understands, where there is something to ask."""
    case = CASES[name]
    found = channel_class(name).model_validate(dict(case.short))
    assert found.can_be_asked == case.can_be_asked == bool(case.look_up)
    assert found.connection == case.connection_id
    Fault.model_validate({"service": case.service, "fault": "server_error", **case.look_up})


@pytest.mark.parametrize("name", CASES)
def test_a_case_says_what_a_refusal_and_an_outcome_are_in_full(name):
    """No contact text, and nothing that a wrong reason would pass as well."""
    case = CASES[name]
    said = [
        case.refused,
        *(text for one in case.actions.values() for text in one.outcomes.values()),
    ]
    assert all(re.fullmatch(r"(failed|skipped)\(.{8,}\)", text) for text in said)
    assert set(case.contacts) <= set(people.KINDS)
    assert people.REFUSED in case.contacts
    assert all(set(one.outcomes) <= set(people.HOSTILE_KINDS) for one in case.actions.values())
