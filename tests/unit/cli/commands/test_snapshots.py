"""``segue snapshots``: the list, and the check of one."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.cli.workspace import person
from segue.ledger import Ledger
from segue.ledger.schema import deliveries, quarantines
from tests.unit.builders import NOW, added, detected, run, stretch
from tests.unit.cli.conftest import DIRECTORY
from tests.unit.directory.lakes.delta_tables import DeltaFolder, people


def test_snapshots_are_listed_in_order_with_what_is_missing(segue, home):
    (home.snapshots / "2026-11-22" / "_SUCCESS").unlink()
    found = json.loads(segue("snapshots", "customers", "--format", "json").out)
    assert found == [
        {
            "snapshot": "2026-11-21",
            "as_of": "2026-11-22T00:00:00Z",
            "complete": True,
            "tables": ["contacts"],
            "why_incomplete": None,
            "quarantined": None,
        },
        {
            "snapshot": "2026-11-22",
            "as_of": "2026-11-23T00:00:00Z",
            "complete": False,
            "tables": ["contacts"],
            "why_incomplete": "no marker file _SUCCESS",
            "quarantined": None,
        },
    ]


def test_the_table_says_why_a_snapshot_is_not_complete(segue, home):
    (home.snapshots / "2026-11-22" / "_SUCCESS").unlink()
    lines = segue("snapshots", "customers").lines
    assert lines[0].split() == ["snapshot", "as_of", "complete", "tables"]
    assert "no: no marker file _SUCCESS" in lines[3]


def test_a_sound_snapshot_is_reported(segue):
    answer = segue("snapshots", "check", "customers", "2026-11-22", "--format", "csv")
    assert answer.code == 0
    assert answer.lines == [
        "table,rows,unknown_contacts,without_date,problem,remark",
        "contacts,7,0,0,,",
    ]
    counted = "1 opted out of the directory; opt-outs: contacts.unsubscribed 1\n"
    assert answer.err == f"{counted}2026-11-22 is sound\n"


def test_an_unsound_snapshot_is_exit_code_2_and_every_problem(segue, home):
    rows = "c1,Ann,,,gold,us,perhaps\nc1,Ann,,,gold,us,no\n,Bob,,,gold,us,no\n"
    home.snapshot("2026-11-23", rows)
    answer = segue("snapshots", "check", "customers", "2026-11-23")
    assert answer.code == 2
    assert len(answer.lines) == 3
    assert "1 row without a contact_id: row 3" in answer.out
    assert "'c1' (row 1, row 2)" in answer.out
    assert "'perhaps'" in answer.out
    assert answer.err == "3 problems found in 2026-11-23\n"


def test_an_unknown_directory_is_an_error(segue):
    answer = segue("snapshots", "custmers")
    assert answer.code == 2
    assert "there is no directory 'custmers'; allowed: customers" in answer.err


def test_a_directory_without_snapshots_says_so(segue, home):
    empty = home.root / "include" / "none"
    empty.mkdir()
    home.define("directories", "customers", "directory: customers\nsnapshots: ../none\n")
    answer = segue("snapshots", "customers", "--format", "csv")
    assert answer.code == 0
    assert answer.lines == ["snapshot,as_of,complete,tables,why_incomplete,quarantined"]
    assert answer.err == "directory customers has no snapshot yet\n"


def test_a_lake_without_snapshots_says_since_when_its_tables_are_known(segue, home):
    table = DeltaFolder(home.root / "lake")
    today = datetime.now(UTC)
    table.write(today, people("a"))
    lake = "lake: {format: delta, tables: {contacts: ../../lake}}\n"
    home.define("directories", "customers", f"directory: customers\nconsent: none\n{lake}")
    answer = segue("snapshots", "customers")
    assert answer.code == 0
    assert answer.err.startswith("directory customers has no snapshot yet: its tables are known ")
    assert f"since {today:%Y-%m-%dT%H:%M:%SZ}, and there is a snapshot of each day" in answer.err


SECOND = ("2026-11-22", "--directory", "customers")


@pytest.fixture
def recorded(home) -> Ledger:
    """A ledger in which a run took the span to the second snapshot; nothing was sent."""
    ledger = Ledger.open(f"sqlite:///{home.root / 'segue.db'}", "test")
    definition = (
        "1" * 64,
        '{"directory": {"directory": "customers"}, "segment": {"segment": "vip"}}',
    )
    span = detected(stretch(21, 22), added("c2"))
    ledger.runs.record_spans(run(), [span], ["mail"], definition, NOW, recorded_only=False)
    yield ledger
    ledger.engine.dispose()


def test_a_quarantined_snapshot_is_used_nowhere_and_its_span_is_withdrawn(segue, recorded):
    """The list says so, and commands look at the one before."""
    answer = segue("snapshots", "quarantine", *SECOND, "--reason", "half of it is missing")
    assert answer.lines == [
        "2026-11-22 of customers is quarantined: no run uses it",
        "withdrawn: welcome 2026-11-21 → 2026-11-22 (run run-1)",
    ]
    assert answer.err == "1 delivery not sent, and rejected\n"
    assert recorded.runs.all_spans("welcome") == []
    assert "quarantined: half of it is missing" in segue("snapshots", "customers").lines[3]
    found = json.loads(segue("snapshots", "list", "customers", "--format", "json").out)
    assert [row["quarantined"] for row in found] == [None, "half of it is missing"]
    assert "at 2026-11-21, the newest complete snapshot" in segue("members", "gold").err


def test_what_was_sent_stays_recorded_and_is_said(segue, recorded):
    """One delivery is out."""
    with recorded.engine.begin() as connection:
        connection.execute(deliveries.update().values(state="delivered"))
    answer = segue("snapshots", "quarantine", *SECOND)
    assert answer.lines[1] == (
        "kept, because something of it was sent: welcome 2026-11-21 → 2026-11-22 (run run-1)"
    )


def test_a_quarantine_ends_by_command(segue, recorded):
    """Once; a second time there is none to end."""
    segue("snapshots", "quarantine", *SECOND)
    assert segue("snapshots", "release", *SECOND).lines == [
        "2026-11-22 of customers may be used again"
    ]
    assert recorded.people.quarantined("customers") == {}
    answer = segue("snapshots", "release", *SECOND)
    assert (answer.code, "is not quarantined; quarantined: none" in answer.err) == (2, True)


def test_a_snapshot_that_is_deleted_or_being_written_anew_can_be_quarantined(segue, recorded, home):
    """Its changes are not to be sent, whatever becomes of the files; what it lacks is said."""
    (home.snapshots / "2026-11-22" / "_SUCCESS").unlink()
    answer = segue("snapshots", "quarantine", *SECOND)
    assert (answer.code, len(answer.lines)) == (0, 2)
    assert "snapshot 2026-11-22 is not complete: no marker file" in answer.err
    assert recorded.runs.all_spans("welcome") == []
    answer = segue("snapshots", "quarantine", "2026-11-29", "--directory", "customers")
    assert answer.code == 0
    assert "has no snapshot 2026-11-29; the nearest: " in answer.err
    assert set(recorded.people.quarantined("customers")) == {"2026-11-22", "2026-11-29"}


def test_where_snapshots_are_away_a_quarantine_says_what_it_did_all_the_same(segue, recorded, home):
    """A script that reads an error would take it for not done."""
    home.snapshots.rename(home.snapshots.with_name("elsewhere"))
    answer = segue("snapshots", "quarantine", *SECOND)
    assert (answer.code, len(answer.lines)) == (0, 2)
    assert answer.lines[1].startswith("withdrawn: welcome 2026-11-21 → 2026-11-22")
    assert "1 delivery not sent, and rejected\n" in answer.err
    assert "does not exist" in answer.err


def test_the_ledger_holds_who_quarantined_a_snapshot_as_every_other_command_does(segue, recorded):
    """``user@host``, to the second; in a container whose user has no name as well."""
    segue("snapshots", "quarantine", *SECOND)
    with recorded.engine.connect() as connection:
        row = connection.execute(quarantines.select()).one()
    assert (row.added_by, row.added_at.microsecond) == (person(), 0)


def test_a_quarantine_needs_a_key_and_the_ledger_of_the_runs(segue, home):
    """A slip of the pen, in the key or in SEGUE_LEDGER, must not pass for done."""
    answer = segue("snapshots", "quarantine", "22.11.2026", "--directory", "customers")
    assert (answer.code, "'22.11.2026' is not a snapshot key" in answer.err) == (2, True)
    assert "there is no ledger at" in segue("snapshots", "quarantine", *SECOND).err


def test_an_opt_state_that_is_not_read_is_unsound(segue, home):
    path = home.snapshots / "2026-11-22" / "contacts.csv"
    path.write_text("contact_id,Unsubscribed\nc1,yes\n")
    answer = segue("snapshots", "check", "customers", "2026-11-22")
    assert answer.code == 2
    assert "'Unsubscribed' looks like an opt state and is not read" in answer.out


def test_it_is_said_that_nothing_says_who_opted_out(segue, home):
    for day in ("2026-11-21", "2026-11-22"):
        (home.snapshots / day / "contacts.csv").write_text("contact_id,tier\nc1,gold\n")
    answer = segue("snapshots", "check", "customers", "2026-11-22")
    assert answer.err.startswith("nothing says who opted out: everybody counts as opted in")


def test_folders_that_are_no_keys_are_told_of(segue, home):
    for name in ("20261120", "v2", "_logs", "lost+found"):
        (home.snapshots / name).mkdir()
    answer = segue("snapshots", "customers")
    assert "the names of 2 folders are no keys, such as '20261120'; a key is a date" in answer.err


def test_snapshots_of_one_as_of_are_told_of(segue, home):
    """A day's end is the next day's midnight: of the two keys runs use the last."""
    folder = home.snapshots / "2026-11-22"
    shutil.copytree(folder, home.snapshots / "2026-11-23T00:00:00Z")
    said = "snapshots 2026-11-22, 2026-11-23T00:00:00Z have one as-of, 2026-11-23T00:00:00Z: "
    assert said in segue("snapshots", "customers").err
    assert said in segue("snapshots", "check", "customers", "2026-11-22").err
    assert "one as-of" not in segue("snapshots", "check", "customers", "2026-11-21").err


def test_a_snapshot_of_the_future_is_not_complete(segue, home):
    (home.snapshots / "2026-11-22").rename(home.snapshots / "2062-11-22")
    assert (
        "no: its as-of 2062-11-23T00:00:00Z is in the future" in segue("snapshots", "customers").out
    )
    assert "at 2026-11-21, the newest complete snapshot" in segue("members", "gold").err
    answer = segue("members", "gold", "--at", "2062-11-22")
    assert answer.code == 2
    assert "is not complete: its as-of 2062-11-23T00:00:00Z is in the future" in answer.err


def test_what_cannot_be_read_is_told_by_the_check(segue, home):
    """Dates are counted wherever they are; other columns as definitions use them."""
    home.define(
        "segments", "old", "segment: old\ndirectory: customers\nmatch: {field: tier, at_least: 5}\n"
    )
    folder = home.snapshot("2026-11-23", "c1,NULL,,,7 GBP,us,no\n")
    (folder / "transactions.csv").write_text(
        "contact_id,date\nc1,\n" + "c1,2026-11-20\n" * 18 + "c1,20/11/2026\n"
    )
    answer = segue("snapshots", "check", "customers", "2026-11-23")
    assert answer.code == 0
    assert answer.lines[3].split() == ["transactions", "20", "0", "2"]
    assert "contacts.tier: 1 of 1 values cannot be read as a number" in answer.out
    assert "transactions.date: 1 of 19 values cannot be read as a date" in answer.out
    assert "1 values look like nothing ('NULL')" in answer.out
    assert answer.err.endswith("2026-11-23 is sound; 3 remarks\n")


def test_text_that_is_not_utf8_is_told_by_the_check_whoever_uses_it(segue, home):
    folder = home.snapshot("2026-11-23", "")
    (folder / "contacts.csv").unlink()
    names = pa.array([b"Ann", b"Ren\xe9"], pa.binary()).buffers()
    table = {
        "contact_id": ["c1", "c2"],
        "nickname": pa.Array.from_buffers(pa.string(), 2, names),
        "tier": ["gold", "gold"],
        **{name: ["x", "x"] for name in ("name", "email", "phone", "country")},
        "unsubscribed": [False, False],
    }
    pq.write_table(pa.table(table), folder / "contacts.parquet")
    answer = segue("snapshots", "check", "customers", "2026-11-23")
    assert answer.code == 0
    line = "contacts.nickname: 1 of 2 values cannot be read as a text in UTF-8"
    assert f"{line} and count as missing" in answer.out
    assert "contacts 'c2'" in answer.out


def test_a_table_of_which_no_date_can_be_read_is_not_sound(segue, home):
    folder = home.snapshot("2026-11-23", "c1,Ann,,,gold,us,no\n")
    (folder / "transactions.csv").write_text("contact_id,date\nc1,20/11/2026\nc1,21/11/2026\n")
    answer = segue("snapshots", "check", "customers", "2026-11-23")
    assert answer.code == 2
    assert "beyond 10% no condition on transactions is judged" in answer.out


def test_files_that_do_not_go_together_are_told_with_the_list(segue, home):
    (home.snapshots / "2026-11-22" / "contacts.parquet").write_bytes(b"")
    answer = segue("snapshots", "customers")
    assert "snapshot 2026-11-22, contacts.csv, contacts.parquet: expected one file" in answer.err


def test_an_opt_state_that_is_none_is_called_as_the_files_call_it(segue, home):
    home.define("directories", "customers", f"{DIRECTORY}consent: {{opted_out: HasOptedOut}}\n")
    home.snapshot("2026-11-22", "c1,Ann,gold,nein\n", "contact_id,name,tier,HasOptedOut")
    said = "1 row of 'HasOptedOut' that are no booleans"
    assert said in segue("snapshots", "check", "customers", "2026-11-22").out
    assert said in segue("members", "gold").err


SUBSCRIPTIONS = "contact_id,scope,opted_in\n{}"


def _opt_out(home, *ids: str, table: str = "subscriptions") -> None:
    rows = "".join(f"{each},directory,no\n" for each in ids)
    path = home.snapshots / "2026-11-22" / f"{table}.csv"
    path.write_text(SUBSCRIPTIONS.format(rows))


def test_opt_outs_that_find_nobody_are_told_by_check_validation_and_listing(segue, home):
    """One in another spelling is an error; one of a contact who is gone is a remark."""
    _opt_out(home, "c1", "c2", "gone")
    check = segue("snapshots", "check", "customers", "2026-11-22")
    told = "subscriptions: 1 of 3 rows that opt out (33.3%) have a contact id that no contact has"
    assert (check.code, told in check.out) == (0, True)
    assert check.err.endswith("2026-11-22 is sound; 1 remark\n")
    assert told in segue("validate").err
    assert segue("members", "gold").code == 0
    _opt_out(home, "c1", "c2", "c3 ")
    for command in (
        ("snapshots", "check", "customers", "2026-11-22"),
        ("validate",),
        ("members", "gold"),
        ("plan", "welcome"),
    ):
        answer = segue(*command)
        assert answer.code == 2, command
        assert "another spelling: 'c3 ' for 'c3'" in answer.out + answer.err


def test_a_place_that_says_no_more_who_opted_out(segue, home):
    """The snapshot before had it: check and validation fail as the run does; a listing says so."""
    path = home.snapshots / "2026-11-22" / "contacts.csv"
    lines = path.read_text().splitlines()
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))
    told = (
        "snapshot 2026-11-22 of customers lacks contacts.unsubscribed, which 2026-11-21 has: "
        "everybody would count as opted in"
    )
    for command in (("snapshots", "check", "customers", "2026-11-22"), ("validate",)):
        answer = segue(*command)
        assert (answer.code, told in answer.out) == (2, True)
    assert told in segue("changes", "gold").err
    assert segue("snapshots", "check", "customers", "2026-11-21").code == 0


def test_a_place_that_is_gone_is_called_as_the_files_call_it(segue, home):
    """Who writes the files knows no ``unsubscribed`` where the directory calls it otherwise."""
    definition = home.include / "directories" / "customers.yaml"
    definition.write_text(definition.read_text() + "consent: {opted_out: HasOptedOut}\n")
    for key in ("2026-11-21", "2026-11-22"):
        path = home.snapshots / key / "contacts.csv"
        path.write_text(path.read_text().replace("unsubscribed", "HasOptedOut", 1))
    lines = path.read_text().splitlines()
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))
    answer = segue("snapshots", "check", "customers", "2026-11-22")
    assert answer.code == 2
    assert "lacks contacts.HasOptedOut, which 2026-11-21 has" in answer.out


@pytest.mark.parametrize("output", ["table", "csv"])
def test_a_column_that_a_segment_needs_and_the_snapshot_lacks_is_unsound(segue, home, output):
    """A run over it fails, so whoever looks before it is told."""
    path = home.snapshots / "2026-11-22" / "contacts.csv"
    path.write_text(path.read_text().replace("tier", "level", 1))
    answer = segue("snapshots", "check", "customers", "2026-11-22", "--format", output)
    assert answer.code == 2
    told = "contacts.tier is gone, which 2026-11-21 has; read by segment gold"
    assert told in answer.out
    assert segue("snapshots", "check", "customers", "2026-11-21").code == 0


def test_a_command_says_why_there_is_no_complete_snapshot(segue, home, recorded):
    key = "2026-11-22"
    for folder in home.snapshots.iterdir():
        if folder.name != key:
            shutil.rmtree(folder)
    assert segue("snapshots", "quarantine", key, "--directory", "customers").code == 0
    answer = segue("members", "gold")
    assert answer.code == 2
    assert f"has no complete snapshot yet; {key} is quarantined" in answer.err
    (home.snapshots / key / "_SUCCESS").unlink()
    assert f"{key} is not: no marker file _SUCCESS" in segue("members", "gold").err


def test_who_quarantined_and_released_a_snapshot_is_noted(segue, recorded):
    segue("snapshots", "quarantine", *SECOND, "--reason", "half")
    segue("snapshots", "release", *SECOND)
    notes = json.loads(segue("requests", "--format", "json").out)
    assert [(each["kind"], each["outcome"], each["requested_by"]) for each in notes] == [
        ("quarantine", "2026-11-22 of customers is quarantined, 1 not sent", person()),
        ("release", "2026-11-22 of customers may be used again", person()),
    ]
    assert notes[0]["asked"] == {"reason": "half"}


EXPECT = (
    DIRECTORY
    + """
expect:
  contacts:
    columns: {tier: {allowed: [gold, silver]}, email: {matches: "^[^@ ]+@[^@ ]+$"}}
    rows: {change_at_most: 50%}
"""
)


def test_what_the_directory_expects_is_checked(segue, home):
    home.define("directories", "customers", EXPECT)
    answer = segue("snapshots", "check", "customers", "2026-11-22")
    assert answer.code == 2
    assert (
        "contacts.email: expected matches: '^[^@ ]+@[^@ ]+$', found 1 of 7 values that do not; "
        "contacts 'c8'"
    ) in answer.lines
    assert "not an address" not in answer.out + answer.err
    assert answer.err == "1 problem found in 2026-11-22\n"
    found = json.loads(segue("snapshots", "check", "customers", "--format", "json").out)
    [problem] = [row for row in found if row["problem"]]
    assert (problem["table"], "contacts 'c8'" in problem["problem"]) == ("contacts", True)


def test_the_newest_snapshot_is_checked_where_no_key_is_named(segue, home):
    answer = segue("snapshots", "check", "customers")
    assert answer.code == 0
    assert answer.err.startswith("at 2026-11-22, the newest complete snapshot\n")
    assert answer.err.endswith("2026-11-22 is sound\n")


def test_what_breaks_a_rule_is_told_beside_what_is_not_expected(segue, home):
    home.define("directories", "customers", EXPECT)
    home.snapshot("2026-11-23", "c1,Ann,a@x,+1,tin,us,no\nc1,Ann,a@x,+1,tin,us,no\n")
    answer = segue("snapshots", "check", "customers", "2026-11-23")
    assert answer.code == 2
    assert "'c1' (row 1, row 2)" in answer.out
    assert "allowed: [gold, silver], found 2 of 2 values that are none of these" in answer.out
    assert "rows change_at_most: 50%, found 2 after 7 (-71.4%)" in answer.out


def test_a_plan_over_what_is_not_expected_fails_as_the_run_does(segue, home):
    home.define("directories", "customers", EXPECT)
    answer = segue("plan", "welcome", "--at", "2026-11-22")
    assert answer.code == 2
    assert "snapshot 2026-11-22 of customers is not what its directory expects" in answer.err


def test_a_column_that_is_expected_and_not_there_is_an_error_of_validation(segue, home):
    home.define("directories", "customers", EXPECT.replace("email:", "emial:"))
    answer = segue("validate")
    assert answer.code == 2
    place = "customers.yaml:7:48: expect.contacts.columns.emial"
    assert f"{place}: there is no column 'emial' of contacts; did you mean 'email'?" in answer.out


def test_what_a_workflow_reads_and_the_snapshot_has_no_more_is_unsound(segue, home):
    path = home.snapshots / "2026-11-22" / "contacts.csv"
    path.write_text(path.read_text().replace("phone", "telephone", 1))
    answer = segue("snapshots", "check", "customers")
    assert answer.code == 2
    assert "contacts.phone is gone, which 2026-11-21 has; read by workflow welcome" in answer.lines
