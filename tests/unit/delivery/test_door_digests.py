"""Digests at the door: one message about many deliveries, each of which is recorded."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select

from segue.channels.slack.message import SlackMessage
from segue.clock import Clock as DoorClock
from segue.contracts.channel import NoAddress
from segue.delivery.door import Door
from segue.delivery.heartbeat import LEASE
from segue.delivery.judgement import Terms, judge
from segue.delivery.recovery import trace_of
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    LedgerError,
    OutcomeUnknown,
    TransientFailure,
)
from segue.ledger import Deliveries, Ledger
from segue.ledger.delivery_keys import message_key
from segue.ledger.facts import DeliveryRow, StartRules
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.testing import AskableChannel, RecordingChannel
from segue.workflows.definition import Policies
from tests.unit.builders import NOW, added, detected, record, run, stretch, with_deliveries
from tests.unit.delivery.test_door import Clock, candidate, outcome, people, released

NAMES = "{% for contact in digest.contacts %}{{ contact.contact_id }} {% endfor %}"


def channel(text: str = NAMES) -> RecordingChannel:
    return RecordingChannel.model_validate({"text": text})


def askable(text: str = NAMES) -> AskableChannel:
    return AskableChannel.model_validate({"text": text})


def door(
    ledger: Ledger, through: RecordingChannel, owner: str = "me", clear: int = 0, **policies
) -> Door:
    clock = Clock()
    return Door(
        ledger,
        through,
        Terms("welcome", Policies.model_validate(policies), digest=True, link="https://run"),
        owner=owner,
        clear_number=clear,
        clock=DoorClock(clock, clock.sleep),
    )


def texts(through: RecordingChannel) -> list[str]:
    return [message["text"].strip() for _, message in through.outbox.received]


def answers(*given: Exception | None):
    """An answer per call: an error, or acceptance; after the last one acceptance."""
    left = list(given)

    def answer(key, message):
        error = left.pop(0) if left else None
        if error is not None:
            raise error

    return answer


def begin(ledger: Ledger, keys: list[str], owner: str, through: RecordingChannel) -> None:
    """Leave what a worker leaves that is killed while its digest is under way."""
    ledger.deliveries.claim(keys, owner=owner, now=NOW, lease_until=NOW + LEASE)
    traces = dict.fromkeys(keys, trace_of(through, {"text": ""}))
    ledger.deliveries.advance(
        [],
        traces,
        together=message_key(keys),
        rules=StartRules(through.name, "team"),
        owner=owner,
        now=NOW,
        lease_until=NOW + LEASE,
    )


def later(made: Door) -> Door:
    """The same door after every lease and longest call of before."""
    made.clock.now += timedelta(seconds=made.channel.longest_call) + 2 * LEASE
    return made


def test_one_message_goes_out_and_each_contacts_delivery_is_recorded(ledger):
    """In order of contact id, under a key that says whose digest it is."""
    candidates = released(ledger, "b", "a", "c")
    through = channel(NAMES + "{{ digest.count }} {{ digest.link }}")
    result = door(ledger, through).deliver(candidates)
    assert (result.is_complete, result.outcomes) == (True, {State.DELIVERED: 3})
    keys = [item.key for item in candidates]
    assert through.outbox.keys == [message_key(keys)] == [message_key(reversed(keys))]
    assert texts(through) == ["a b c 3 https://run"]
    rows = ledger.queries.list_deliveries()
    assert {row.message_key for row in rows} == {message_key(keys)}
    assert {(row.url, row.attempts) for row in rows} == {("https://example.com/1", 1)}
    assert len({row.digest for row in rows}) == 1
    assert door(ledger, through, "again").deliver(candidates).is_complete
    assert len(texts(through)) == 1


def test_the_template_sees_changes_and_how_many_there_are_of_each(ledger):
    changes = [("a", "added", ""), ("b", "removed", ""), ("c", "removed", "")]
    ids = record(ledger, run(), detected(stretch(21, 22), changes))
    ledger.runs.release(ids, NOW)
    through = channel(
        "{% for contact in digest.contacts %}{{ contact.contact_id }} {{ contact.change }}, "
        "{% endfor %}{{ digest.counts.removed }} removed, {{ digest.counts.opted_in }} opted in, "
        "{{ snapshot }}"
    )
    items = [
        candidate(
            ledger,
            contact,
            change=change,
            key=ledger.key("welcome", "mail", contact, change, "2026-11-22"),
        )
        for contact, change, _ in changes
    ]
    door(ledger, through).deliver(items)
    assert texts(through) == ["a added, b removed, c removed, 2 removed, 0 opted in, 2026-11-22"]


def test_who_must_not_be_in_it_is_judged_alone(ledger):
    """An action before that failed, an ``if``, a missing field, the suppression list, planned."""
    released(ledger, "a", "b", "c", "d", "e")
    record(ledger, run("other"), detected(stretch(22, 23), added("f")))
    ledger.people.suppress(["e"], "", "ann", NOW)
    failed = DeliveryRow("k", "ticket", "a", "added", 1, State.FAILED, "", {})
    done = DeliveryRow("k", "ticket", "a", "added", 1, State.DELIVERED, "", {"url": "https://t"})
    through = channel(
        "{% for contact in digest.contacts %}{{ contact.first_name }} "
        "{{ contact.results.ticket.url }} {% endfor %}"
    )
    before = {"ticket": done}
    unreleased = ledger.key("welcome", "mail", "f", "added", "2026-11-23")
    items = [
        candidate(ledger, "a", before={"ticket": failed}),
        candidate(ledger, "b", before=before, passes_if=False),
        candidate(ledger, "c", before=before, fields={"contact_id": "c"}),
        candidate(ledger, "d", before=before),
        candidate(ledger, "e", before=before),
        candidate(ledger, "f", before=before, key=unreleased),
    ]
    door(ledger, through).deliver(items)
    assert texts(through) == ["name of d https://t name of e https://t"]
    assert {contact: outcome(ledger, contact) for contact in "abcdef"} == {
        "a": "skipped:after: ticket failed",
        "b": "skipped:if",
        "c": "failed:text: missing field: contact.first_name",
        "d": "delivered",
        "e": "delivered",  # suppressed from messages to it; the team hears of it
        "f": "planned",
    }


def test_a_forgotten_contact_is_not_in_it(ledger):
    ledger = Ledger(ledger.engine, ledger.namespace, "a long secret text")
    candidates = released(ledger, "a", "b")
    forgetful = Ledger(ledger.engine, ledger.namespace, "a long secret text")
    forgetful.retention._suppress_for_good("a", "ann", NOW)
    through = channel()
    door(ledger, through).deliver(candidates)
    assert texts(through) == ["b"]
    assert outcome(ledger, "a") == "skipped:suppression_list"


def test_a_failure_of_the_whole_message_is_that_of_each_contact(ledger):
    """The vendor refuses it, as Slack does a text that is too long; and a template that fails."""
    candidates = released(ledger, "a", "b")
    through = channel().answering(answers(ContactFailure("msg_too_long")))
    assert door(ledger, through).deliver(candidates).outcomes == {State.FAILED: 2}
    assert outcome(ledger, "a") == outcome(ledger, "b") == "failed:msg_too_long"
    only_one = channel("{% if digest.count > 1 %}{{ digest.nothing }}{% endif %}x")
    door(ledger, only_one, clear=1).deliver(candidates)
    assert texts(only_one) == []
    assert outcome(ledger, "b") == "failed:text: missing field: digest.nothing"
    assert door(ledger, through, "third", clear=2).deliver(candidates).is_complete
    assert texts(through) == ["a b"]


def test_a_transient_failure_is_tried_again_with_the_same_contacts(ledger):
    candidates = released(ledger, "a", "b")
    through = channel().answering(answers(TransientFailure("429", retry_after=7)))
    made = door(ledger, through)
    assert made.deliver(candidates).is_complete
    assert (texts(through), sum(made.clock.naps)) == (["a b"], 7)


def test_what_lasts_leaves_all_of_it_released_for_another_digest(ledger):
    """Nothing was sent: whoever is free then forms the next one."""
    candidates = released(ledger, "a", "b")
    through = channel().answering(answers(*[TransientFailure("503")] * 3))
    result = door(ledger, through).deliver(candidates)
    assert (result.standing, result.is_complete) == ({State.RELEASED: 2}, False)
    ids = record(ledger, run("late"), detected(stretch(22, 23), added("c")))
    ledger.runs.release(ids, NOW)
    late = candidate(ledger, "c", key=ledger.key("welcome", "mail", "c", "added", "2026-11-23"))
    door(ledger, through, "next").deliver([*candidates, late])
    assert texts(through) == ["a b c"]


def test_a_broken_connection_leaves_all_of_it_released(ledger):
    candidates = released(ledger, "a", "b")
    through = channel().answering(answers(ConnectionFailure("401")))
    result = door(ledger, through).deliver(candidates)
    assert (result.connection, result.standing) == ("401", {State.RELEASED: 2})


def test_who_comes_late_is_in_another_digest(ledger):
    """What was delivered is not told again."""
    candidates = released(ledger, "a", "b")
    through = channel()
    door(ledger, through).deliver(candidates[:1])
    door(ledger, through, "next").deliver(candidates)
    assert texts(through) == ["a", "b"]
    assert len(set(through.outbox.keys)) == 2


# Doubts


def test_a_lost_answer_is_asked_for_at_once_under_the_digests_key(ledger):
    candidates, through = released(ledger, "a", "b"), askable()
    through.losing(answers(OutcomeUnknown("reset")))
    assert door(ledger, through).deliver(candidates).standing == {State.DELIVERED: 2}
    [question] = through.outbox.questions
    assert list(question.traces) == [message_key(item.key for item in candidates)]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_digest_in_doubt_is_looked_for_and_never_sent_twice(ledger, arrived):
    """Its worker died; a contact that came later is in the next one, whatever the vendor says."""
    candidates, through = released(ledger, "a", "b", "c"), askable()
    keys = [item.key for item in candidates[:2]]
    begin(ledger, keys, "dead", through)
    if arrived:
        through.outbox.received.append((message_key(keys), {"text": "a b"}))
    made = door(ledger, through, "early")
    made.clock.now += 1.5 * LEASE
    assert not made.deliver(candidates[:2]).is_complete  # the call may be on its way still
    assert later(door(ledger, through, "heir")).deliver(candidates).is_complete
    assert texts(through) == (["a b", "c"] if arrived else ["a b c"])
    assert {row.outcome for row in ledger.queries.list_deliveries()} == {"delivered"}


def test_a_digest_in_doubt_that_two_workers_ask_about_is_settled_alike(ledger):
    """A task that knows of one contact alone takes that one; the others wait for their turn."""
    candidates, through = released(ledger, "a", "b"), askable()
    keys = [item.key for item in candidates]
    begin(ledger, keys, "dead", through)
    later(door(ledger, through, "one")).deliver(candidates[:1])
    assert texts(through) == ["a"]
    assert outcome(ledger, "b").startswith("sending")
    later(door(ledger, through, "two")).deliver(candidates)
    assert texts(through) == ["a", "b"]


def test_where_nobody_can_tell_all_of_it_is_uncertain(ledger):
    candidates, through = released(ledger, "a", "b"), channel()
    begin(ledger, [item.key for item in candidates], "dead", through)
    later(door(ledger, through)).deliver(candidates)
    assert texts(through) == []
    assert {outcome(ledger, one).split(":")[0] for one in "ab"} == {"uncertain"}


def test_under_resend_a_digest_in_doubt_is_sent_once_more(ledger):
    candidates = released(ledger, "a", "b")
    through = channel().losing(answers(*[OutcomeUnknown("reset")] * 5))
    result = door(ledger, through, on_uncertain="resend").deliver(candidates)
    assert (result.to_resend, result.is_complete) == (2, False)
    for owner in ("two", "three", "four"):
        result = door(ledger, through, owner, on_uncertain="resend").deliver(candidates)
    assert texts(through) == ["a b", "a b"]
    assert len(set(through.outbox.keys)) == 1  # the same contacts: the same key
    assert (result.to_resend, result.standing) == (0, {State.UNCERTAIN: 2})
    assert outcome(ledger, "a") == "uncertain:sent again: reset"


@pytest.mark.parametrize("answer", [TransientFailure("503"), NoAddress("none")])
def test_a_further_call_in_vain_leaves_in_doubt_the_digest_that_may_be_out(ledger, answer):
    """Whoever looks for it at the vendor has to look for the one that was sent."""
    candidates = released(ledger, "a", "b")
    through = channel().losing(answers(OutcomeUnknown("reset")))
    door(ledger, through, on_uncertain="resend").deliver(candidates)
    keys = [item.key for item in candidates]
    before = ledger.deliveries.rows(keys)
    further = channel().answering(answers(*[answer] * 9))
    again = door(ledger, further, "two", on_uncertain="resend")
    again.clock.now += timedelta(minutes=5)
    again.deliver(candidates[:1])
    row = ledger.deliveries.rows(keys)[keys[0]]
    assert further.outbox.received == []
    assert (row.state, row.message_key) == (State.UNCERTAIN, message_key(keys))
    assert (row.trace, row.called_at) == (before[row.key].trace, before[row.key].called_at)


def test_an_answer_that_comes_late_is_the_truth_about_all_of_it(ledger):
    """Recovery called it uncertain while the answer was under way."""
    candidates, through = released(ledger, "a", "b"), channel()

    def look_meanwhile(key, message):
        later(door(ledger, channel(), "hasty")).deliver(candidates)
        assert outcome(ledger, "a").startswith("uncertain")

    through.losing(look_meanwhile)
    door(ledger, through).deliver(candidates)
    assert [outcome(ledger, one) for one in "ab"] == ["delivered", "delivered"]


def test_a_worker_frozen_before_its_call_does_not_make_it(ledger):
    candidates, through = released(ledger, "a", "b"), askable()

    class Freezing(Deliveries):
        def advance(self, finished, starting, **values):
            started = super().advance(finished, starting, **values)
            if starting:
                frozen.clock.now += timedelta(seconds=through.longest_call) + 2 * LEASE
                assert later(door(ledger, through, "heir")).deliver(candidates).is_complete
            return started

    frozen = door(with_deliveries(ledger, Freezing), through)
    assert frozen.deliver(candidates).standing == {State.DELIVERED: 2}
    assert texts(through) == ["a b"]


def test_an_action_that_was_a_digest_is_asked_for_as_one(ledger):
    """It is one message per contact now; the call of yesterday was a digest."""
    candidates, through = released(ledger, "a", "b"), askable()
    keys = [item.key for item in candidates]
    begin(ledger, keys, "dead", through)
    through.outbox.received.append((message_key(keys), {"text": "a b"}))
    plain = AskableChannel.model_validate({"text": "{{ contact.contact_id }}"})
    plain._outbox = through.outbox
    clock = Clock()
    clock.now += timedelta(seconds=through.longest_call) + 2 * LEASE
    now = Door(ledger, plain, Terms("welcome"), owner="x", clock=DoorClock(clock, clock.sleep))
    assert now.deliver(candidates).standing == {State.DELIVERED: 2}
    assert texts(through) == ["a b"]


# All of it begins, or none


def taking_one_away(ledger: Ledger, key: str) -> Ledger:
    """A ledger in which another worker takes a delivery in the moment before the digest begins."""

    class Robbed(Deliveries):
        robbed = False

        def advance(self, finished, starting, **values):
            if starting and not self.robbed:
                self.robbed = True
                with self.engine.begin() as connection:
                    mine = deliveries.update().where(deliveries.c.key == key)
                    lease = NOW + timedelta(hours=1)
                    connection.execute(mine.values(owner="robber", lease_until=lease))
            return super().advance(finished, starting, **values)

    return with_deliveries(ledger, Robbed)


def test_who_was_taken_away_meanwhile_is_not_in_it(ledger):
    """The message is made anew without the contact; nobody was marked for the first one."""
    candidates, through = released(ledger, "a", "b", "c"), channel()
    result = door(taking_one_away(ledger, candidates[1].key), through).deliver(candidates)
    assert texts(through) == ["a c"]
    assert result.elsewhere == 1
    assert through.outbox.keys == [message_key([candidates[0].key, candidates[2].key])]
    attempts = {row.contact_id: row.attempts for row in ledger.queries.list_deliveries()}
    assert attempts == {"a": 1, "b": 0, "c": 1}


def test_where_the_only_one_was_taken_away_there_is_no_message(ledger):
    candidates, through = released(ledger, "a"), channel()
    result = door(taking_one_away(ledger, candidates[0].key), through).deliver(candidates)
    assert (texts(through), result.elsewhere) == ([], 1)


def test_a_ledger_that_fails_at_the_mark_has_marked_nobody(ledger):
    """A database that goes away in the middle: the transaction is one."""
    candidates, through = released(ledger, *people(30)), channel()

    class Failing(Deliveries):
        def advance(self, finished, starting, **values):
            if starting:
                raise LedgerError("gone")
            return super().advance(finished, starting, **values)

    made = door(with_deliveries(ledger, Failing), through)
    with pytest.raises(LedgerError):
        made.deliver(candidates)
    assert texts(through) == []
    assert {row.outcome for row in ledger.queries.list_deliveries()} == {"released"}


def test_once_per_contact_holds_within_a_digest_and_between_two(ledger):
    """Of two changes of one contact the first is told; a contact told before is left out."""
    ids = record(
        ledger,
        run(),
        detected(stretch(21, 22), added("a", "b")),
        detected(stretch(22, 23), added("a", "c")),
    )
    ledger.runs.release(ids, NOW)
    items = [
        candidate(
            ledger,
            contact,
            snapshot=f"2026-11-{day}",
            key=ledger.key("welcome", "mail", contact, "added", f"2026-11-{day}"),
        )
        for contact, day in (("a", 22), ("b", 22), ("a", 23), ("c", 23))
    ]
    through = channel()
    for owner in ("one", "two"):
        result = door(ledger, through, owner, once_per_contact="ever").deliver(items)
    assert result.is_complete
    assert texts(through) == ["a b c"]
    told = Counter(
        f"{row.contact_id} {row.outcome} {row.reason}".strip()
        for row in ledger.queries.list_deliveries()
    )
    assert told == {
        "a delivered": 1,
        "a skipped once_per_contact": 1,
        "b delivered": 1,
        "c delivered": 1,
    }


def test_a_digest_of_many_thousands_goes_out_as_one(ledger):
    """More deliveries than one statement, or a server's locks, can name."""
    contacts = [f"c{number:05}" for number in range(5_000)]
    candidates, through = released(ledger, *contacts), channel("{{ digest.count }}")
    result = door(ledger, through, once_per_contact="ever").deliver(candidates)
    assert (result.standing, texts(through)) == ({State.DELIVERED: 5_000}, ["5000"])
    with ledger.engine.connect() as connection:
        keys = connection.execute(select(deliveries.c.message_key).distinct()).scalars().all()
    assert keys == through.outbox.keys


def test_contact_text_in_a_list_is_data(ledger):
    """Markup stays text, and a value that is no line fails its own contact alone."""
    slack = SlackMessage.model_validate(
        {
            "channel": "#a",
            "text": "{% for contact in digest.contacts %}{{ contact.first_name }};{% endfor %}",
        }
    )
    names = {"a": "<!channel> <b>&", "b": "{{ digest.count }}", "c": "\u202eabc 🎉"}
    items = [
        candidate(ledger, one, fields={"contact_id": one, "first_name": name})
        for one, name in names.items()
    ]
    [made], failed = judge(slack, Terms("welcome", digest=True), items)
    assert failed == []
    assert (
        made.message["text"] == "&lt;!channel&gt; &lt;b&gt;&amp;;{{ digest.count }};\u202eabc 🎉;"
    )


def test_forgetting_a_contact_leaves_no_trace_of_whose_digest_it_was_in(ledger):
    """The digest's key is made of keys, and theirs of contact ids that somebody may try."""
    ledger = Ledger(ledger.engine, ledger.namespace, "a long secret text")
    candidates = released(ledger, "a", "b")
    door(ledger, channel()).deliver(candidates)
    ledger.retention.forget("a", "ann", NOW)
    keys = {row.contact_id: row.message_key for row in ledger.queries.list_deliveries()}
    assert keys.pop("b") == message_key(item.key for item in candidates)
    assert list(keys.values()) == [None]


def test_no_name_forges_an_entry_of_the_list(ledger):
    released(ledger, "a", "b")
    through = channel(
        "{% for contact in digest.contacts %}\n* {{ contact.first_name }}{% endfor %}"
    )
    fields = {"contact_id": "a", "first_name": "Ann\r\n* Mallory\u2028* Eve"}
    items = [candidate(ledger, "a", fields=fields), candidate(ledger, "b")]
    door(ledger, through).deliver(items)
    assert texts(through) == ["* Ann * Mallory * Eve\n* name of b"]


def test_nothing_that_a_vendor_answered_forges_one_either(ledger):
    released(ledger, "a", "b")
    through = channel(
        "{% for contact in digest.contacts %}\n* {{ contact.results.crm.name }}{% endfor %}"
    )
    found = {"name": "Ann\n* Mallory"}
    before = {"crm": DeliveryRow("k", "crm", "a", "added", 1, State.DELIVERED, "", found)}
    items = [candidate(ledger, each, before=before) for each in ("a", "b")]
    door(ledger, through).deliver(items)
    assert texts(through) == ["* Ann * Mallory\n* Ann * Mallory"]
