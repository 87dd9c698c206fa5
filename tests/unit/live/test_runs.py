"""A run whose details are looked up: over HTTP, in the sandbox's XM Directory."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from segue.contacts.live_look_up import Desk
from segue.directory.snapshots import find_snapshot
from segue.errors import ConnectionFailure, ContactFailure, DataError, TransientFailure
from segue.ledger.people.tester_requests import Wanted
from segue.preview.plan import plan
from segue.sandbox.vendors import qualtrics_api
from segue.upkeep.connection_checks import check_connections
from segue.upkeep.tester_messages import prepare
from tests.unit.live.world import NOW, TEXT, World, at_qualtrics, change_at_qualtrics

CALM = '{{quiet_hours: {{from: "{0}", to: "{1}"}}}}'
QUIET = CALM.format("05:00", "07:00")  # at NOW
REFUSED = {"embeddedData": {"level": ["not", "one", "value"]}}


def test_live_fields_win_and_the_others_are_the_snapshots(tmp_path, ledger, sandbox):
    """What is missing there is missing; ``contact_id`` never changes."""
    rich = at_qualtrics(sandbox, embeddedData={"level": "mid", "other": "x"}, phone="+1")
    poor = at_qualtrics(sandbox, firstName="")
    world = World(tmp_path, ledger, text=TEXT.replace("first_name", "first_name | default('?')"))
    world.days(rich, poor)
    world.run()

    assert world.received == sorted([f"{poor} ? gold - -", f"{rich} New gold mid +1"])


def test_each_contact_has_its_own_outcome(tmp_path, ledger, sandbox):
    """Unknown to the source, refused, opted out there: none stops the others."""
    fine = at_qualtrics(sandbox)
    refused = at_qualtrics(sandbox, **REFUSED)
    opted_out = at_qualtrics(sandbox, unsubscribed=True)
    world = World(tmp_path, ledger, to_contact=True)
    world.days(fine, refused, opted_out, "CID_0", "a/../b")
    world.run()

    assert world.outcomes == {
        fine: "delivered",
        refused: "failed:look_up: level is a list; allowed: a text, number, boolean, date or time",
        opted_out: "skipped:opted_out",
        "CID_0": "skipped:contact_not_found",
        "a/../b": "skipped:contact_not_found",
    }
    assert [text.split()[:2] for text in world.received] == [[fine, "New"]]


@pytest.mark.parametrize("somebody", [True, False])
def test_the_log_counts_and_doubts_a_look_up_that_finds_nobody(
    tmp_path, ledger, sandbox, caplog, somebody
):
    """A slip in a path may look like contacts who are not there."""
    first = at_qualtrics(sandbox) if somebody else "CID_1"
    world = World(tmp_path, ledger)
    world.days(first, "CID_2")
    world.detect()
    with caplog.at_level("INFO"):
        world.load()

    absent = 1 if somebody else 2
    counted = f"2 contacts looked up through qualtrics_default: {absent} are not there, 0 were"
    assert counted in caplog.text
    assert ("has none of the contacts; is the look-up right?" in caplog.text) != somebody


def test_a_refused_contact_fails_whatever_conditions_would_say(tmp_path, ledger, sandbox):
    """They cannot be judged; a failure must not look like a skip."""
    refused = at_qualtrics(sandbox, **REFUSED)
    silent = at_qualtrics(sandbox)
    condition = "conditions: {field: level, equals: mid}"
    world = World(tmp_path, ledger, conditions=condition)
    world.days(refused, silent)
    world.run()

    assert world.outcomes[refused].startswith("failed:look_up: ")
    assert world.outcomes[silent] == "skipped:conditions"


def test_a_person_who_clears_the_task_has_it_looked_up_again(tmp_path, ledger, sandbox):
    refused = at_qualtrics(sandbox, **REFUSED)
    world = World(tmp_path, ledger)
    world.days(refused)
    world.run()
    change_at_qualtrics(sandbox, refused, embeddedData={"level": "mid"})

    world.load()
    world.deliver(clear_number=0)
    assert world.received == []
    world.deliver(clear_number=1)
    assert world.outcomes == {refused: "delivered"}


def test_conditions_judge_what_was_looked_up(tmp_path, ledger, sandbox):
    """And the segment's condition what the snapshot has."""
    low, mid = (at_qualtrics(sandbox, embeddedData={"level": name}) for name in ("low", "mid"))
    world = World(tmp_path, ledger, conditions="conditions: {field: level, equals: mid}")
    world.days(low, mid)
    world.run()

    assert world.outcomes == {low: "skipped:conditions", mid: "delivered"}


def test_an_opt_out_of_the_snapshot_holds_whatever_the_source_says(tmp_path, ledger, sandbox):
    contact = at_qualtrics(sandbox, unsubscribed=False)
    world = World(tmp_path, ledger, to_contact=True)
    world.snapshot("2026-11-21", f"{contact},Old,silver,yes\n")
    world.snapshot("2026-11-22", f"{contact},Old,gold,yes\n")
    world.run()

    assert world.outcomes == {contact: "skipped:opted_out"}


def test_the_team_is_written_to_about_whoever_opted_out(tmp_path, ledger, sandbox):
    contact = at_qualtrics(sandbox, unsubscribed=True)
    world = World(tmp_path, ledger, text="{{ contact.opted_in }} {{ contact.unsubscribed }}")
    world.days(contact)
    world.run()

    assert world.received == ["false true"]


def test_a_deleted_contact_is_not_looked_up(tmp_path, ledger, sandbox):
    """Its details are the last that a snapshot has."""
    gone = at_qualtrics(sandbox)
    world = World(tmp_path, ledger)
    world.days(gone=gone)
    sandbox.fault("qualtrics", "server_error", path=gone)
    world.run()

    assert world.received == [f"{gone} Old gold - -"]
    assert len(sandbox.faults.pending()) == 1


def test_an_error_that_passes_is_tried_again_within_the_task(tmp_path, ledger, sandbox):
    contact = at_qualtrics(sandbox)
    world = World(tmp_path, ledger)
    world.days(contact)
    sandbox.fault("qualtrics", "server_error", times=2)
    world.run()

    assert world.outcomes == {contact: "delivered"}
    assert world.sleeps == [2.0, 4.0]


def test_a_rate_limit_is_waited_out_by_all(tmp_path, ledger, sandbox):
    """Other tasks wait for it, too: it is kept with the ledger."""
    contact = at_qualtrics(sandbox)
    world = World(tmp_path, ledger)
    world.days(contact)
    world.detect()
    sandbox.fault("qualtrics", "rate_limited", retry_after=7)
    world.load()

    assert world.sleeps == [7.0]
    other = Desk(ledger, world.clock)
    with world.resolved.live.connect() as reader:
        assert other.ledger.deliveries.reserve([reader.limits()], NOW)[0] == 0


@pytest.mark.parametrize(
    ("fault", "options", "error", "message"),
    [
        ("server_error", {"times": 100}, TransientFailure, "503: ISE_1; no other"),
        ("reset", {"times": 100}, TransientFailure, "its answer was lost; no other"),
        ("rate_limited", {"retry_after": 600, "times": 9}, TransientFailure, "RATELIMIT_1; no"),
        ("unauthorized", {}, ConnectionFailure, "Qualtrics answered 401: DCD_7; check"),
    ],
)
def test_what_outlasts_the_tries_fails_the_task_and_nobody(
    tmp_path, ledger, sandbox, fault, options, error, message
):
    """Nothing is written; the task's retry begins anew."""
    contact = at_qualtrics(sandbox)
    world = World(tmp_path, ledger)
    world.days(contact, "CID_0")
    world.detect()
    sandbox.fault("qualtrics", fault, **options)

    with pytest.raises(error, match=message):
        world.load()
    assert set(world.outcomes.values()) == {"released"}
    sandbox.faults.clear()
    world.now += timedelta(minutes=10)
    world.load()
    world.deliver()
    assert world.outcomes == {contact: "delivered", "CID_0": "skipped:contact_not_found"}


@pytest.mark.parametrize(("clear_number", "outcome"), [(0, "delivered"), (1, "skipped:opted_out")])
def test_an_answer_is_used_by_the_tasks_own_tries_and_not_after_a_person_cleared_it(
    tmp_path, ledger, sandbox, clear_number, outcome
):
    """The first was answered before the source went down, and opts out before it is mended."""
    first, second = at_qualtrics(sandbox), at_qualtrics(sandbox)
    world = World(tmp_path, ledger, to_contact=True)
    world.days(first, second)
    world.detect()
    sandbox.fault("qualtrics", "server_error", path=second, times=6)
    with pytest.raises(TransientFailure, match="Qualtrics answered 503"):
        world.load()
    change_at_qualtrics(sandbox, first, unsubscribed=True)

    world.load(clear_number)
    world.deliver(clear_number)
    assert world.outcomes == {first: outcome, second: "delivered"}


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"host": "http://127.0.0.1:9", "password": "x"}, "cannot be reached"),
        ({"host": "http://segue.invalid", "password": "x"}, "the host of Qualtrics is unknown"),
        ({"host": "http://127.0.0.1:9"}, "needs an API token of Qualtrics"),
        ({"password": "x"}, "needs a host"),
    ],
)
def test_a_connection_that_does_not_work_is_named(
    tmp_path, ledger, sandbox, set_connection, connection, message
):
    world = World(tmp_path, ledger)
    world.days(at_qualtrics(sandbox))
    world.detect()
    set_connection("qualtrics_default", conn_type="http", **connection)

    with pytest.raises((ConnectionFailure, TransientFailure), match=message):
        world.load()


def test_a_slip_in_the_directorys_id_is_no_missing_contact(tmp_path, ledger, sandbox):
    contact = at_qualtrics(sandbox)
    world = World(tmp_path, ledger, {"qualtrics": {"directory": "POOL_0"}})
    world.days(contact)
    world.detect()

    with pytest.raises(ConnectionFailure, match="Qualtrics has no directory 'POOL_0'"):
        world.load()


def test_hostile_values_stay_values_and_enter_no_message_of_ours(tmp_path, ledger, sandbox, caplog):
    """Neither in the ledger nor in the log, not even of a contact that is refused."""
    hostile = "<!channel>\r\n{{ 7*7 }} \N{ZERO WIDTH JOINER}'\";--" + "x" * 10_000
    taken = at_qualtrics(sandbox, firstName=hostile)
    refused = at_qualtrics(sandbox, firstName="x" * 100_001, lastName=hostile)
    world = World(tmp_path, ledger, text="{{ contact.first_name }}")
    world.days(taken, refused)
    with caplog.at_level("DEBUG"):
        world.run()

    assert world.received == [hostile]
    assert world.outcomes[refused] == "failed:look_up: first_name is longer than 100,000 characters"
    assert "channel" not in caplog.text


# segue_release


def held(tmp_path, ledger, sandbox, **options) -> tuple[World, str]:
    """Return a world in which a message waits for the end of quiet hours."""
    contact = at_qualtrics(sandbox, embeddedData={"level": "mid"})
    world = World(tmp_path, ledger, policies=QUIET, to_contact=True, **options)
    world.days(contact)
    world.run()
    assert world.outcomes[contact].startswith("held")
    world.let_quiet_hours_end()
    world.now = NOW.replace(hour=9)
    return world, contact


def test_what_was_held_is_looked_up_again(tmp_path, ledger, sandbox):
    world, contact = held(tmp_path, ledger, sandbox)
    change_at_qualtrics(sandbox, contact, embeddedData={"level": "high"})
    assert world.resume().problems == []

    assert world.received == [f"{contact} New gold high -"]


def test_who_opted_out_meanwhile_is_not_written_to(tmp_path, ledger, sandbox):
    world, contact = held(tmp_path, ledger, sandbox)
    change_at_qualtrics(sandbox, contact, unsubscribed=True)
    world.resume()

    assert world.outcomes == {contact: "skipped:opted_out"}
    assert world.received == []


@pytest.mark.parametrize("fault", ["server_error", "unauthorized"])
def test_what_cannot_be_looked_up_stays_held(tmp_path, ledger, sandbox, fault):
    world, contact = held(tmp_path, ledger, sandbox)
    sandbox.fault("qualtrics", fault, times=100)
    [problem] = world.resume().problems

    assert re.match("1 deliveries of 2026-11-22 wait: Qualtrics answered (503|401)", problem)
    assert world.outcomes[contact].startswith("held")
    sandbox.faults.clear()
    world.now = NOW.replace(hour=10)
    world.resume()
    assert world.outcomes == {contact: "delivered"}


@pytest.mark.parametrize(
    ("level", "outcome"), [("high", "delivered"), ("low", "skipped:conditions")]
)
def test_a_recheck_judges_what_was_looked_up(tmp_path, ledger, sandbox, level, outcome):
    """Live fields are not those of the newest snapshot; all others are."""
    contact = at_qualtrics(sandbox, embeddedData={"level": "high"})
    policies = QUIET.removesuffix("}") + ", recheck: true}"
    condition = "conditions: {any: [{field: level, equals: high}, {field: tier, equals: bronze}]}"
    world = World(tmp_path, ledger, policies=policies, to_contact=True, conditions=condition)
    world.days(contact)
    world.run()
    world.let_quiet_hours_end()
    world.now = NOW.replace(hour=9)
    world.snapshot("2026-11-23T08:00:00Z", f"{contact},Newest,gold,no\n")
    change_at_qualtrics(sandbox, contact, embeddedData={"level": level})
    world.resume()

    assert world.outcomes == {contact: outcome}


# Tests of messages


def tried(world: World, contact: str):
    wanted = Wanted("welcome", "mail", contact, "me", "added", None)
    return prepare(world.resolved, wanted, world.ledger, "0" * 64, world.clock)


def test_a_test_message_has_live_details(tmp_path, ledger, sandbox):
    contact = at_qualtrics(sandbox, embeddedData={"level": "mid"})
    world = World(tmp_path, ledger, conditions="conditions: {field: level, equals: mid}")
    world.days(contact)
    prepared, remark = tried(world, contact)

    assert prepared.message["text"] == f"{contact} New gold mid -"
    assert remark == ""


def test_why_there_is_no_test_message(tmp_path, ledger, sandbox):
    refused = at_qualtrics(sandbox, **REFUSED)
    world = World(tmp_path, ledger)
    world.days(refused, "CID_0")

    with pytest.raises(ContactFailure, match="look_up: level is a list"):
        tried(world, refused)
    with pytest.raises(DataError, match="or the source qualtrics has none"):
        tried(world, "CID_0")


def test_without_a_live_source_nothing_is_looked_up(tmp_path, ledger, sandbox):
    contact = at_qualtrics(sandbox)
    world = World(tmp_path, ledger, "snapshot")
    world.days(contact)
    sandbox.fault("qualtrics", "unauthorized")
    world.run()

    assert world.received == [f"{contact} Old gold - -"]


def test_the_connection_is_tried_for_the_task_that_looks_up(tmp_path, ledger, sandbox):
    world = World(tmp_path, ledger)
    other = World(tmp_path / "b", ledger, {"qualtrics": {"directory": "POOL_0"}})
    found = {each.channel: each for each in check_connections([world.resolved])}["qualtrics"]

    assert (found.connection, found.result) == ("qualtrics_default", "ok")
    assert found.detail == f"lists contacts of {qualtrics_api.DIRECTORY}"
    assert found.used_by == ["welcome.load_contact_details"]
    found = {each.channel: each for each in check_connections([other.resolved])}["qualtrics"]
    assert (found.result, found.detail[:31]) == ("failed", "Qualtrics has no directory 'POO")


def test_a_plan_shows_where_fields_that_only_the_source_has_would_stand(tmp_path, ledger):
    """Nothing is looked up there: also the opt-out, which then keeps nobody from being opted in."""
    world = World(tmp_path, ledger, text=TEXT + " {{ contact.opted_in }}", to_contact=True)
    for key, tier in (("2026-11-21", "silver"), ("2026-11-22", "gold")):
        world.snapshot(key, f"a,Ann,{tier}\n", columns="contact_id,first_name,tier\n")
    snapshots = [
        find_snapshot(world.resolved.directory, key, now=NOW)
        for key in ("2026-11-21", "2026-11-22")
    ]
    [change] = plan(world.resolved, *snapshots, namespace="test", now=NOW).changes

    text = change.actions[0].message["text"]
    assert text == "a Ann gold ‹contact.level› ‹contact.phone› true"


def test_an_opt_out_that_only_the_source_knows_counts(tmp_path, ledger, sandbox):
    """Where no snapshot has a column for it."""
    out, stays = at_qualtrics(sandbox, unsubscribed=True), at_qualtrics(sandbox)
    world = World(tmp_path, ledger, to_contact=True)
    for key, tier in (("2026-11-21", "silver"), ("2026-11-22", "gold")):
        rows = f"{out},Ann,{tier}\n{stays},Bob,{tier}\n"
        world.snapshot(key, rows, columns="contact_id,first_name,tier\n")
    world.run()

    assert world.outcomes == {out: "skipped:opted_out", stays: "delivered"}


def test_looking_up_is_retried_as_deliveries_are(tmp_path, ledger):
    """A source may be away for hours; a snapshot's details keep the DAG's own retries."""
    from segue.operators.branch import BACKOFF, LoadContactDetails

    live, plain = World(tmp_path / "a", ledger), World(tmp_path / "b", ledger, "snapshot")
    tasks = [
        LoadContactDetails(task_id="load", workflow=world.resolved, branch={})
        for world in (live, plain)
    ]
    assert tasks[0].retries == live.resolved.definition.retries
    assert tasks[0].max_retry_delay == BACKOFF["max_retry_delay"]
    assert tasks[1].retries == 0
