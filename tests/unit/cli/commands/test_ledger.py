"""``segue deliveries``, ``gaps`` and ``db upgrade``."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from segue.ledger import Ledger
from segue.ledger.delivery_keys import message_key
from segue.ledger.facts import DetectedSpan, Finished, Run, StartRules
from segue.ledger.schema import REVISION
from segue.ledger.states import State
from segue.ledger.stretches import Point, Stretch
from tests.unit.builders import DEFINITION, advance
from tests.unit.cli.conftest import WORKFLOW

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
FILL = (
    "airflow dags trigger welcome --conf "
    """'{"previous": "2026-11-21", "current": "2026-11-22"}'"""
)


def point(day: int) -> Point:
    """The snapshot of a day of November 2026."""
    return Point(datetime(2026, 11, day, tzinfo=UTC) + timedelta(days=1), f"2026-11-{day}")


@pytest.fixture
def ledger(home):
    """A ledger in which one run delivered to c2 and has not tried c3."""
    ledger = Ledger.open(f"sqlite:///{home.root / 'segue.db'}", "test")
    changes = [("c2", "added", ""), ("c3", "added", "")]
    stretch = Stretch(point(21), point(22))
    span = DetectedSpan("changes", "", stretch, "a", "b", 3, 7, changes)
    run = Run("welcome", "run-1")
    definition = (
        "0" * 64,
        '{"directory": {"directory": "customers"}, "segment": {"segment": "vip"}}',
    )
    ledger.runs.record_spans(run, [span], ["mail"], definition, NOW, recorded_only=False)
    spans = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    ledger.runs.release([span.id for span in spans], NOW)
    key = ledger.key("welcome", "mail", "c2", "added", "2026-11-22")
    held = {"owner": "me", "now": NOW, "lease_until": NOW}
    ledger.deliveries.claim([key], **held)
    advance(ledger, [], [key], **held)
    sent = Finished(key, State.DELIVERED, external_id="<1@example.com>", results={})
    advance(ledger, [sent], [], **held)
    yield ledger
    ledger.engine.dispose()


def test_deliveries_as_json_begin_with_the_promised_keys(segue, ledger):
    found = json.loads(segue("deliveries", "--format", "json").out)
    keys = ("workflow", "action", "contact_id", "change", "snapshot", "outcome", "reason")
    assert list(found[0])[:8] == [*keys, "external_id"]
    first = ["welcome", "mail", "c2", "added", "2026-11-22", "delivered", "", "<1@example.com>"]
    assert list(found[0].values())[:8] == first
    assert (found[1]["contact_id"], found[1]["outcome"]) == ("c3", "released")


@pytest.mark.parametrize(
    ("options", "contacts"),
    [
        (("--contact", "c3"), ["c3"]),
        (("--outcome", "delivered"), ["c2"]),
        (("--workflow", "welcome", "--limit", "1"), ["c2"]),
        (("--contact", "nobody"), []),
        (("--action", "mail"), ["c2", "c3"]),
        (("--action", "ticket"), []),
        (("--snapshot", "2026-11-22"), ["c2", "c3"]),
        (("--snapshot", "2026-11-21"), []),
        (("--error", "anything"), []),
        (("--since", "2026-11-23T06:00:00Z"), ["c2", "c3"]),
        (("--since", "2026-11-23T08:00:01+02:00"), []),
        (("--since", "5y"), ["c2", "c3"]),
    ],
)
def test_deliveries_can_be_narrowed_down(segue, ledger, options, contacts):
    found = json.loads(segue("deliveries", *options, "--format", "json").out)
    assert [delivery["contact_id"] for delivery in found] == contacts


def test_the_table_says_what_became_of_each(segue, ledger):
    answer = segue("deliveries")
    assert [line.split() for line in answer.lines[2:]] == [
        ["2026-11-22", "welcome", "mail", "c2", "added", "delivered", "<1@example.com>"],
        ["2026-11-22", "welcome", "mail", "c3", "added", "released"],
    ]
    assert answer.err == "2 deliveries\n"


def test_deliveries_as_json_end_with_their_times_and_digest(segue, ledger):
    sent, waiting = json.loads(segue("deliveries", "--format", "json").out)
    assert list(sent)[8:] == [
        *("url", "attempts", "updated_at", "key", "channel", "planned_at", "called_at"),
        *("delivered_at", "held_until", "digest", "message_key"),
    ]
    assert (sent["planned_at"], waiting["held_until"]) == ("2026-11-23T06:00:00Z", None)


def test_one_delivery_is_shown_with_its_run_its_span_and_its_definition(segue, ledger):
    key = ledger.key("welcome", "mail", "c2", "added", "2026-11-22")
    found = dict(line.split(maxsplit=1) for line in segue("delivery", key).lines if " " in line)
    assert (found["outcome"], found["attempts"]) == ("delivered", "1")
    assert (found["external_id"], found["run_id"]) == ("<1@example.com>", "run-1")
    assert (found["previous_key"], found["current_key"]) == ("2026-11-21", "2026-11-22")
    assert (found["definition"], found["key"]) == ("0" * 64, key)
    [as_json] = json.loads(segue("delivery", key, "--format", "json").out)
    assert as_json["results"] == {}


def test_a_key_that_is_no_deliverys_is_an_error(segue, ledger):
    answer = segue("delivery", "nonsense")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no delivery with the key 'nonsense'" in answer.err


@pytest.mark.parametrize(
    "since",
    [
        "yesterday",
        "9999y",
        "999999d",
        "9999-12-31T23:59-23:59",
        "0001-01-01T00:00+14:00",
    ],
)
def test_a_since_that_is_no_time_is_an_error(segue, ledger, since):
    answer = segue("deliveries", "--since", since)
    assert answer.code == 2
    assert f"--since is '{since}'; allowed: a duration such as 7d" in answer.err


def test_an_unknown_outcome_is_an_error_with_the_nearest(segue, ledger):
    answer = segue("deliveries", "--outcome", "deliverd")
    assert answer.code == 2
    assert "--outcome is 'deliverd'; allowed: planned, " in answer.err
    assert "did you mean 'delivered'?" in answer.err


def test_an_unknown_workflow_is_an_error_with_the_nearest(segue, ledger):
    answer = segue("deliveries", "--workflow", "welcom")
    assert answer.code == 2
    assert "there is no workflow 'welcom'; allowed: welcome; did you mean" in answer.err


@pytest.mark.parametrize("command", [["deliveries"], ["stop", "welcome"]])
def test_a_namespace_of_which_the_ledger_has_nothing_is_told(segue, ledger, monkeypatch, command):
    """A stop there would stop nobody; where it is meant to begin, nothing is said."""
    told = "SEGUE_NAMESPACE is prdo, under which this ledger has no run; it has some under test"
    monkeypatch.setenv("SEGUE_NAMESPACE", "prdo")
    assert told in " ".join(segue(*command).err.split())
    monkeypatch.setenv("SEGUE_NEW_NAMESPACE", "prdo")
    assert "no run" not in segue(*command).err
    monkeypatch.setenv("SEGUE_NAMESPACE", "test")
    assert "no run" not in segue(*command).err


@pytest.mark.postgres
def test_a_database_without_tables_has_nothing_quarantined_and_needs_no_word(
    segue, home, monkeypatch, new_database
):
    """Definitions and data are looked at before the ledger is made."""
    url = new_database.render_as_string(hide_password=False)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()
    monkeypatch.setenv("SEGUE_LEDGER", url)
    answer = segue("snapshots", "customers")
    assert "quarantined is not known" not in answer.err
    assert answer.code == 0


def test_without_a_ledger_nothing_is_listed_and_none_is_made(segue, home):
    answer = segue("deliveries", "--format", "json")
    assert (answer.code, answer.out) == (0, "[]\n")
    assert f"there is no ledger at {home.root / 'segue.db'} yet" in answer.err
    assert not (home.root / "segue.db").exists()


@pytest.mark.parametrize("command", [["deliveries"], ["gaps"], ["db", "upgrade"]])
def test_a_ledger_that_only_airflow_can_find_is_explained(segue, monkeypatch, command):
    monkeypatch.setenv("SEGUE_LEDGER", "airflow://segue_db")
    answer = segue(*command)
    assert answer.code == 2
    assert "only Airflow's tasks can look the connection 'segue_db' up" in answer.err
    assert "Define AIRFLOW_CONN_SEGUE_DB here, too, or set SEGUE_LEDGER to the" in answer.err


@pytest.mark.postgres
def test_a_connection_in_the_environment_leads_the_command_line_to_the_ledger(
    segue, monkeypatch, new_database
):
    """As it leads tasks there."""
    url = new_database.render_as_string(hide_password=False).replace("+psycopg", "")
    monkeypatch.setenv("AIRFLOW_CONN_SEGUE_DB", url)
    monkeypatch.setenv("SEGUE_LEDGER", "airflow://segue_db")
    assert segue("db", "upgrade").out.rstrip().endswith(f"is at revision {REVISION}")
    assert segue("deliveries", "--format", "json").out == "[]\n"


def test_a_ledger_that_cannot_be_reached_is_one_message_without_its_password(segue, monkeypatch):
    monkeypatch.setenv("SEGUE_LEDGER", "postgresql://me:secret@127.0.0.1:1/segue")
    answer = segue("deliveries")
    assert answer.code == 2
    assert answer.err.startswith("Error: the ledger at ")
    assert "secret" not in answer.err


def test_a_ledger_that_breaks_while_it_is_read_is_one_message(segue, ledger, home):
    with sqlite3.connect(home.root / "segue.db") as database:
        database.execute("ALTER TABLE deliveries RENAME TO lost")
    answer = segue("deliveries")
    assert answer.code == 2
    assert answer.err.endswith("cannot be used: no such table: deliveries\n")


def test_a_gap_comes_with_the_command_that_fills_it(segue):
    answer = segue("gaps")
    assert answer.code == 0
    assert answer.lines[2].split()[:3] == ["welcome", "2026-11-21", "2026-11-22"]
    assert answer.lines[-1] == FILL


def test_without_a_workflow_nothing_is_said_to_be_covered(segue, home):
    (home.include / "workflows/welcome.yaml").unlink()
    answer = segue("gaps")
    assert (answer.code, answer.err.splitlines()[-1]) == (0, "there is no workflow")


def test_gaps_as_json_have_their_ends_and_command(segue):
    [gap] = json.loads(segue("gaps", "welcome", "--format", "json").out)
    assert gap["previous_as_of"] == "2026-11-22T00:00:00Z"
    assert gap["current_as_of"] == "2026-11-23T00:00:00Z"
    assert gap["command"] == FILL


def test_a_recorded_span_leaves_no_gap(segue, ledger):
    answer = segue("gaps", "--format", "csv")
    assert len(answer.lines) == 1
    assert answer.err == "no gap: every snapshot since the start is covered\n"


def test_a_span_over_a_missing_snapshot_is_named(segue, home):
    """The 23rd is missing: no gap, but who was gold on that day alone is not seen."""
    home.define("workflows", "welcome", WORKFLOW.replace("2026-11-21", "2026-11-23"))
    home.snapshot("2026-11-24", "c1,Ann,,+1,gold,us,no\n")
    span = DetectedSpan("changes", "", Stretch(point(22), point(24)), "a", "b", 1, 1, [])
    ledger = Ledger.open(f"sqlite:///{home.root / 'segue.db'}", "test")
    definition = (
        "0" * 64,
        '{"directory": {"directory": "customers"}, "segment": {"segment": "gold"}}',
    )
    run = Run("welcome", "run-1")
    ledger.runs.record_spans(run, [span], [], definition, NOW, recorded_only=False)
    answer = segue("gaps", "--format", "csv")
    assert (answer.code, len(answer.lines)) == (0, 1)
    assert "no gap" in answer.err
    assert "welcome: 2026-11-22 → 2026-11-24 bridges the snapshot 2026-11-23, which" in answer.err


def test_a_broken_workflow_does_not_hide_the_gaps_of_others(segue, home):
    home.define("workflows", "broken", "workflow: broken\n")
    answer = segue("gaps", "--format", "csv")
    assert answer.code == 2
    assert answer.lines[1].startswith("welcome,2026-11-21,2026-11-22,")
    assert "not looked at: broken: " in answer.err


def test_nothing_is_covered_where_nothing_could_be_looked_at(segue, home):
    home.snapshots.rename(home.snapshots.with_name("elsewhere"))
    answer = segue("gaps")
    assert (answer.code, "no gap" in answer.err) == (2, False)
    assert "not looked at: welcome: " in answer.err


def test_gaps_that_are_too_old_to_act_on_are_marked(segue, home):
    text = WORKFLOW.replace("max_age: null", "max_age: 2d").replace("2026-11-21", "2020-01-01")
    home.define("workflows", "welcome", text)
    home.snapshot("2020-01-01", "c1,Ann,,+1,silver,us,no\n")
    home.snapshot("2020-01-02", "c1,Ann,,+1,gold,us,no\n")
    answer = segue("gaps")
    assert "older than max_age" in answer.lines[2]
    assert 'add "deliver": true' in answer.err


def test_a_gap_that_nothing_fills_says_so_and_has_no_command(segue, home):
    """The 21st is quarantined, and the span from there to the 22nd stays."""
    home.define("workflows", "welcome", WORKFLOW.replace("2026-11-21", "2026-11-20"))
    home.snapshot("2026-11-20", "c1,Ann,,+1,silver,us,no\n")
    ledger = Ledger.open(f"sqlite:///{home.root / 'segue.db'}", "test")
    ledger.people.quarantine("customers", "2026-11-21", reason="", by="ann", now=NOW)
    span = DetectedSpan("changes", "", Stretch(point(21), point(22)), "a", "b", 3, 7, [])
    definition = DEFINITION  # recorded before anybody thought of a quarantine
    ledger.runs.record_spans(
        Run("welcome", "run-1"), [span], ["mail"], definition, NOW, recorded_only=False
    )
    ledger.engine.dispose()
    answer = segue("gaps")
    assert "nobody's: a snapshot is quarantined" in answer.out
    assert "To fill them" not in answer.out
    [gap] = json.loads(segue("gaps", "--format", "json").out)
    assert (gap["previous"], gap["current"], gap["command"]) == ("2026-11-20", "2026-11-21", "")


def test_upgrading_makes_the_tables_and_may_be_repeated(segue, home):
    first, second = segue("db", "upgrade"), segue("db", "upgrade")
    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert "is at revision" in first.out
    assert json.loads(segue("deliveries", "--format", "json").out) == []


def test_upgrading_a_database_of_another_kind_is_an_error(segue, monkeypatch):
    monkeypatch.setenv("SEGUE_LEDGER", "mysql://localhost/segue")
    answer = segue("db", "upgrade")
    assert answer.code == 2
    assert "allowed: sqlite, postgresql" in answer.err


def test_whom_a_digest_was_about_is_listed_by_its_key(segue, ledger):
    """The key is what the vendor has: in Slack's metadata, or a mail's Message-ID."""
    keys = [row.key for row in ledger.queries.list_deliveries(contact_id="c3")]
    digest, later = message_key(keys), NOW + timedelta(hours=1)
    how = {"owner": "me", "now": later, "lease_until": later}
    ledger.deliveries.claim(keys, **how)
    rules = StartRules("recording", "team")
    ledger.deliveries.advance([], {key: {} for key in keys}, together=digest, rules=rules, **how)
    found = json.loads(segue("deliveries", "--message", digest, "--format", "json").out)
    assert [row["contact_id"] for row in found] == ["c3"]
    answer = segue("delivery", digest)
    assert (answer.code, f"--message {digest}" in answer.err) == (2, True)


@pytest.mark.parametrize("url", ["sqlite:///segue.db", "sqlite:///./data/segue.db", "sqlite://"])
@pytest.mark.parametrize(
    "command", [("deliveries",), ("gaps",), ("stop", "welcome"), ("db", "upgrade")]
)
def test_a_ledger_that_would_be_another_one_in_every_folder_is_refused(
    segue, home, monkeypatch, url, command
):
    """Whether there is such a file in this one or not."""
    monkeypatch.setenv("SEGUE_LEDGER", url)
    monkeypatch.chdir(home.root)
    answer = segue(*command)
    assert (answer.code, answer.out) == (2, "")
    assert f"cannot be kept in {url}" in answer.err
    assert "allowed: an absolute path such as sqlite:////var/lib" in answer.err
    assert not (home.root / "segue.db").exists()


@pytest.mark.parametrize("revision", ["0000", "9999"])
@pytest.mark.parametrize("command", [("deliveries",), ("db", "upgrade")])
def test_a_ledger_of_another_version_is_told_in_a_sentence(segue, ledger, home, revision, command):
    engine = create_engine(f"sqlite:///{home.root / 'segue.db'}")
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE segue_alembic_version SET version_num = '{revision}'"))
    answer = segue(*command)
    assert answer.code == 2
    assert f"the ledger's schema is at revision {revision}" in answer.err
    assert "Traceback" not in answer.err
