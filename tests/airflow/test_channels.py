"""Every channel on Airflow against the sandbox: what arrives, and what comes of what does not.

A case's workflow writes to one contact for each thing that can happen, in one run of Airflow's own
``DAG.test``; then the same run is done again, as after a cleared task, when all that was in doubt
is over. A run of it costs two seconds, and on the scheduler twenty (tests/channels has the cases).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from tests.channels import people
from tests.channels.case import ChannelCase
from tests.channels.cases import CASES
from tests.channels.stage import FAULTS, PAUSE, Delivery, Run, Stage

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]
ASKED = [name for name, case in CASES.items() if case.can_be_asked]
DENYING = [name for name in ASKED if CASES[name].can_deny]
NOT_DENYING = [name for name in ASKED if not CASES[name].can_deny]
NOT_ASKED = [name for name, case in CASES.items() if not case.can_be_asked]
HOSTILE = [
    pytest.param(name, action, kind, id=f"{name}-{action}-{kind}")
    for name, case in CASES.items()
    for action in case.actions
    for kind in people.HOSTILE_KINDS
]


@dataclass(frozen=True)
class Played:
    """A case after both runs."""

    case: ChannelCase
    first: Run
    again: Run


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("channels"), CASES) as made:
        yield made


@pytest.fixture
def played(stage: Stage, name: str) -> Played:
    """The case of a channel, after both runs."""
    return Played(CASES[name], *stage.play(CASES[name]))


def is_delivered_once(case: ChannelCase, delivery: Delivery) -> bool:
    """True where the server has it once, and the ledger knows it under the server's id."""
    assert delivery.outcome == "delivered"
    [message] = delivery.messages
    known = {name: getattr(delivery.row, name) for name in ("external_id", "url", "results")}
    assert known == case.receipt(message, delivery.sent.url)
    return True


@pytest.mark.parametrize("name", CASES)
def test_every_field_arrives_as_it_was_written(played, name):
    """For each way of writing the action that the case has."""
    case, first = played.case, played.first
    for action, written in case.actions.items():
        delivery = first.of(people.PLAIN, action)
        [message] = delivery.messages
        assert case.received(message) == written.expected(delivery.sent), action
        assert delivery.outcome == "delivered"
    assert is_delivered_once(case, first.of(people.PLAIN))


@pytest.mark.parametrize(("name", "action", "kind"), HOSTILE)
def test_what_a_contact_writes_stays_text(played, name, action, kind):
    """It arrives as it is meant to, or the ledger says why it was not sent."""
    written = played.case.actions[action]
    delivery = played.first.of(kind, action)
    if kind in written.outcomes:
        assert (delivery.outcome, delivery.messages) == (written.outcomes[kind], ())
        return
    [message] = delivery.messages
    assert played.case.received(message) == written.expected(delivery.sent)
    assert delivery.outcome == "delivered"


@pytest.mark.parametrize("name", CASES)
def test_a_message_that_is_refused_for_good_fails_alone_and_is_not_tried_again(played, name):
    for run in (played.first, played.again):
        refused = run.of(people.REFUSED)
        assert (refused.outcome, refused.messages) == (played.case.refused, ())
    assert played.first.of(people.PLAIN).outcome == "delivered"
    assert played.again.tasks["main"] == "failed"


@pytest.mark.parametrize("name", CASES)
def test_an_error_that_passes_costs_nothing(played, name):
    assert is_delivered_once(played.case, played.first.of(people.TRANSIENT))


@pytest.mark.parametrize("name", CASES)
def test_a_rate_limit_is_waited_out(stage, played, name):
    """By everybody, as long as the server asks for; by a second where it does not say."""
    case, limited = played.case, played.first.of(people.LIMITED)
    assert is_delivered_once(case, limited)
    [refused] = [
        moment
        for moment, fault in stage.faults.met
        if fault.match == limited.sent.contact_id and fault.service == case.service
    ]
    ends = refused + timedelta(seconds=PAUSE if case.says_when else 1)
    assert datetime.fromisoformat(limited.messages[0].received_at) >= ends
    if case.says_when:  # what was under way has ended, and a shorter pause would be over
        quiet = refused + timedelta(seconds=0.9)
        calls = [moment for moment, service in stage.faults.requests if service == case.service]
        assert calls[-1] > ends
        assert not [moment for moment in calls if quiet <= moment < ends]


@pytest.mark.parametrize("name", CASES)
def test_an_error_that_outlasts_a_pass_is_tried_again_by_the_next(played, name):
    first, again = (
        played.first.of(people.PERSISTENT),
        played.again.of(people.PERSISTENT),
    )
    assert (first.row.outcome, first.messages) == ("released", ())
    assert played.first.tasks["main"] == "failed"
    assert is_delivered_once(played.case, again)


@pytest.mark.parametrize("name", ASKED)
def test_after_a_lost_answer_the_server_is_asked_at_once(stage, played, name):
    """The same results as if the answer had arrived, and nothing is sent again."""
    overdue = played.again.of(people.OVERDUE)
    met = [fault.fault for _, fault in stage.faults.met if fault.match == overdue.sent.contact_id]
    assert met == ["server_error"] * 3 + ["reset_after_effect"]
    assert is_delivered_once(played.case, overdue)


@pytest.mark.parametrize("name", ASKED)
def test_a_server_that_could_not_be_asked_at_once_is_asked_later(played, name):
    """Until then nobody knows; then it has the message, and nothing is sent again."""
    lost = played.first.of(people.LOST)
    assert (lost.row.outcome, len(lost.messages)) == ("sending", 1)
    assert is_delivered_once(played.case, played.again.of(people.LOST))


@pytest.mark.parametrize("name", DENYING)
def test_what_the_server_has_not_got_is_sent_once_the_call_is_surely_over(played, name):
    first, again = played.first.of(people.UNSENT), played.again.of(people.UNSENT)
    assert (first.row.outcome, first.messages) == ("sending", ())
    assert is_delivered_once(played.case, again)


@pytest.mark.parametrize("name", NOT_DENYING)
def test_what_the_server_does_not_show_is_left_to_a_person(played, name):
    """It may be there all the same, so that it is not sent again."""
    first, again = played.first.of(people.UNSENT), played.again.of(people.UNSENT)
    assert (first.row.outcome, first.messages) == ("sending", ())
    assert (again.row.outcome, again.messages) == ("uncertain", ())
    assert again.row.reason.startswith("the vendor cannot tell: ")


@pytest.mark.parametrize("name", NOT_ASKED)
def test_a_server_that_cannot_be_asked_leaves_it_to_a_person(played, name):
    """Whether the message went out or not, it is uncertain and not sent again."""
    for run in (played.first, played.again):
        lost, unsent = run.of(people.LOST), run.of(people.UNSENT)
        assert {lost.row.outcome, unsent.row.outcome} == {"uncertain"}
        assert (len(lost.messages), len(unsent.messages)) == (1, 0)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_sent_twice_by_a_run_that_is_done_again(stage, played, name):
    """Every fault was met, and every message is one of those that the cases know of."""
    case, again = played.case, played.again
    assert all(len(delivery.messages) <= 1 for delivery in again.deliveries.values())
    known = {message.id for delivery in again.deliveries.values() for message in delivery.messages}
    received = stage.sandbox.messages(service=case.service, contains=f"-{name}")
    assert {message.id for message in received} <= known
    wanted = {people.contact_id(name, kind) for kind in FAULTS}
    assert not [fault for fault in stage.faults.pending() if fault.match in wanted]


def test_airflow_and_the_ledger_keep_no_text_of_a_contact(stage):
    """No name, note or address, whatever came of the message; ids alone."""
    for case in CASES.values():
        stage.play(case)
    kept = stage.written_down()
    for name in CASES:
        assert people.contact_id(name, people.REFUSED) in kept
    assert people.CANARY.casefold() not in kept.casefold()
