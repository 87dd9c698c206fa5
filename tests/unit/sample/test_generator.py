"""The sample must be reproducible, lifelike and quiet: a few changes a day, counted here in SQL.

Nothing of Segue's own engine is used, so that these numbers can check it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from segue.demo.run import days_shown
from segue.sample import __main__ as command
from segue.sample.days import ZONE
from segue.sample.generator import DAYS, MARKER, generate, keep_up, newest_day
from segue.sample.names import HOSTILE
from segue.sample.people import DOMAINS, FICTION_RANGES

FIRST = date(2026, 11, 1)  # the sample of the pages in docs/
EVERY_DAY = [FIRST + timedelta(days=n) for n in range(DAYS)]
SHOWN_BY_THE_DEMO = days_shown(EVERY_DAY[-1])
FEW = range(2, 5)


@dataclass(frozen=True)
class Sample:
    """Questions asked of the snapshots in SQL, as-of midnight in London after the day."""

    root: Path
    sql: duckdb.DuckDBPyConnection

    def ask(self, question: str, day: date) -> dict[str, bool]:
        """Return the first two columns of the answer; `{contacts}`, … stand for the files."""
        tables = {
            name: f"'{self.root / day.isoformat() / name}.parquet'"
            for name in ("contacts", "transactions", "subscriptions", "mailing_lists")
        }
        as_of = f"timestamptz '{day + timedelta(days=1)} 00:00:00 Europe/London'"
        return dict(self.sql.execute(question.format(as_of=as_of, **tables)).fetchall())

    def added(self, question: str, day: date) -> set[str]:
        """Return who is in the answer of the day and was not in that of the day before."""
        before = self.ask(question, day - timedelta(days=1))
        return self.ask(question, day).keys() - before.keys()

    def flipped(self, question: str, day: date, *, opted_in: bool) -> set[str]:
        """Return who is in both answers with another opt-in state."""
        before, after = self.ask(question, day - timedelta(days=1)), self.ask(question, day)
        both = before.keys() & after.keys()
        return {c for c in both if after[c] is opted_in and before[c] is not opted_in}


AT_RISK = """
    select CustomerID, any_value(phone is not null) from {contacts} join {transactions}
    using (CustomerID) where lifecycle = 'customer' and type = 'support_call'
    and OccurredAt >= {as_of} - interval 30 days and OccurredAt < {as_of}
    group by 1 having count(*) >= 5"""
HIGH_VALUE = """
    select CustomerID, any_value(EmailAddress is not null) from {contacts} join {transactions}
    using (CustomerID) where type = 'purchase'
    and OccurredAt >= {as_of} - interval 365 days and OccurredAt < {as_of}
    group by 1 having sum(amount) >= 1000"""
ACTIVE = """
    select CustomerID, not (unsubscribed or CustomerID in (
        select contact_id from {subscriptions} where not opted_in
        and scope in ('directory', 'segment:active_customers')))
    from {contacts} where lifecycle = 'customer'"""
DIRECTORY_CONSENT = """
    select CustomerID, not (unsubscribed or CustomerID in (
        select contact_id from {subscriptions} where not opted_in and scope = 'directory'))
    from {contacts}"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Iterator[Sample]:
    root = tmp_path_factory.mktemp("customers")
    generate(root, first=FIRST)
    with duckdb.connect() as sql:
        sql.execute("set timezone = 'Europe/London'")
        yield Sample(root, sql)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_same_arguments_give_the_same_bytes(sample, tmp_path):
    generate(tmp_path, first=FIRST)
    assert contents(tmp_path) == contents(sample.root)


def test_a_snapshot_does_not_depend_on_how_many_follow(sample, tmp_path):
    generate(tmp_path, first=FIRST, days=3)
    every_file = contents(sample.root)
    assert contents(tmp_path) == {name: every_file[name] for name in contents(tmp_path)}
    assert len(contents(tmp_path)) == 3 * 5


def test_another_seed_gives_another_directory(sample, tmp_path):
    generate(tmp_path, first=FIRST, days=1, seed=8)
    assert (
        contents(tmp_path)
        .items()
        .isdisjoint(
            {k: v for k, v in contents(sample.root).items() if not k.endswith(MARKER)}.items()
        )
    )


def test_writing_again_leaves_the_files_alone(tmp_path):
    generate(tmp_path, first=FIRST, days=1, contacts=1000)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    generate(tmp_path, first=FIRST, days=1, contacts=1000)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_damaged_snapshot_is_mended(tmp_path):
    generate(tmp_path, first=FIRST, days=1, contacts=1000)
    good = contents(tmp_path)
    (tmp_path / FIRST.isoformat() / "contacts.parquet").write_bytes(b"half a fi")
    (tmp_path / FIRST.isoformat() / MARKER).unlink()
    generate(tmp_path, first=FIRST, days=1, contacts=1000)
    assert contents(tmp_path) == good


def test_too_few_contacts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 1000 contacts, not 10"):
        generate(tmp_path, first=FIRST, contacts=10)


@pytest.mark.parametrize("day", EVERY_DAY[1:], ids=str)
def test_a_few_customers_become_at_risk_every_day(sample, day):
    assert len(sample.added(AT_RISK, day)) in FEW


@pytest.mark.parametrize("day", EVERY_DAY[1:], ids=str)
def test_a_few_contacts_become_high_value_every_day(sample, day):
    assert len(sample.added(HIGH_VALUE, day)) in FEW


@pytest.mark.parametrize("day", EVERY_DAY[1:], ids=str)
def test_a_few_active_customers_opt_out_every_day(sample, day):
    assert len(sample.flipped(ACTIVE, day, opted_in=False)) in FEW


def test_customers_also_opt_back_in_leave_and_are_deleted(sample):
    days = SHOWN_BY_THE_DEMO
    assert any(sample.flipped(ACTIVE, day, opted_in=True) for day in days)
    before, after = sample.ask(AT_RISK, EVERY_DAY[0]), sample.ask(AT_RISK, EVERY_DAY[-1])
    everybody = sample.ask(DIRECTORY_CONSENT, EVERY_DAY[-1])
    gone = before.keys() - after.keys()
    assert gone & everybody.keys(), "some no longer match"
    assert gone - everybody.keys(), "some were deleted"


def test_the_demo_meets_missing_addresses_and_opted_out_members(sample):
    added = {day: sample.added(HIGH_VALUE, day) for day in SHOWN_BY_THE_DEMO}
    without_email = sum(
        not sample.ask(HIGH_VALUE, day)[c] for day, contacts in added.items() for c in contacts
    )
    opted_out = sum(
        not sample.ask(DIRECTORY_CONSENT, EVERY_DAY[-1]).get(c, True)
        for contacts in added.values()
        for c in contacts
    )
    assert without_email in (1, 2)
    assert opted_out in (1, 2)


def test_the_demo_meets_a_caller_without_a_phone(sample):
    callers = [
        sample.ask(AT_RISK, day)[contact]
        for day in SHOWN_BY_THE_DEMO
        for contact in sample.added(AT_RISK, day)
    ]
    assert callers.count(False) == 1


def test_the_demo_meets_hostile_names(sample):
    names = "select CustomerID, first_name || ' ' || last_name from {contacts}"
    day = SHOWN_BY_THE_DEMO[0]
    known = sample.ask(names, day)
    changed = sample.added(AT_RISK, day) | sample.added(HIGH_VALUE, day)
    assert {"Síle O'Brien <b>", "<!channel> Ng"} <= {known[c] for c in changed}


@pytest.mark.parametrize("day", [EVERY_DAY[0], EVERY_DAY[-1]], ids=str)
def test_no_row_is_from_the_future(sample, day):
    late = "select CustomerID, true from {transactions} where OccurredAt >= {as_of}"
    edited = "select CustomerID, true from {contacts} where modified_at >= {as_of}"
    assert not sample.ask(late, day)
    assert not sample.ask(edited, day)


@pytest.mark.parametrize("day", [EVERY_DAY[0], EVERY_DAY[-1]], ids=str)
def test_ids_are_unique_and_every_row_belongs_to_a_contact(sample, day):
    twice = "select CustomerID, true from {contacts} group by 1 having count(*) > 1"
    assert not sample.ask(twice, day)
    for table, key in (
        ("transactions", "CustomerID"),
        ("mailing_lists", "contact_id"),
        ("subscriptions", "contact_id"),
    ):
        orphans = (
            f"select {key}, true from {{{table}}} "
            f"where {key} not in (select CustomerID from {{contacts}})"
        )
        assert not sample.ask(orphans, day)


def test_addresses_and_numbers_can_belong_to_nobody(sample):
    contacts = pq.read_table(sample.root / FIRST.isoformat() / "contacts.parquet").to_pydict()
    emails = [e for e in contacts["EmailAddress"] if e is not None]
    phones = [p for p in contacts["phone"] if p is not None]
    assert all(re.fullmatch(rf"[a-z0-9.]+@({'|'.join(DOMAINS)})", e) for e in emails)
    assert len(set(emails)) == len(emails)
    assert all(
        any(p.startswith(prefix) and len(p) == len(prefix) + n for prefix, n in FICTION_RANGES)
        for p in phones
    )
    assert all(re.fullmatch(r"CID_[0-9A-Za-z]{15}", c) for c in contacts["CustomerID"])


def test_some_details_are_missing(sample):
    contacts = pq.read_table(sample.root / FIRST.isoformat() / "contacts.parquet")
    for column in ("first_name", "EmailAddress", "phone", "birthday"):
        assert 0 < contacts[column].null_count < len(contacts) / 2
    for column in ("CustomerID", "last_name", "unsubscribed", "lifecycle", "tier", "created_at"):
        assert contacts[column].null_count == 0


def test_names_come_in_many_scripts(sample):
    names = pq.read_table(sample.root / FIRST.isoformat() / "contacts.parquet")["last_name"]
    letters = {c for name in names.to_pylist() for c in name if c.isalpha()}
    scripts = {unicodedata.name(c).split()[0] for c in letters}
    assert scripts >= {
        *("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "DEVANAGARI", "TAMIL", "THAI"),
        *("CJK", "HANGUL", "GEORGIAN"),
    }
    assert {last for _, last in HOSTILE} <= set(names.to_pylist())


def test_amounts_are_exact_and_may_be_unknown(sample):
    amounts = pq.read_table(sample.root / FIRST.isoformat() / "transactions.parquet")["amount"]
    assert str(amounts.type) == "decimal128(10, 2)"
    assert 0 < amounts.null_count < len(amounts)


# ---- on any date ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        ("2026-11-30T00:00+00:00", "2026-11-29"),
        ("2026-11-29T23:59+00:00", "2026-11-28"),
        ("2027-06-30T22:59+00:00", "2027-06-29"),  # summer: midnight in London is 23:00 UTC
        ("2027-06-30T23:00+00:00", "2027-06-30"),
        ("2028-03-01T09:00+09:00", "2028-02-29"),
    ],
)
def test_the_newest_snapshot_is_of_yesterday_in_london_and_never_ahead_of_now(now, newest):
    found = newest_day(datetime.fromisoformat(now))
    assert found == date.fromisoformat(newest)
    as_of = datetime.combine(found + timedelta(days=1), datetime.min.time(), ZONE)
    assert as_of <= datetime.fromisoformat(now) < as_of + timedelta(days=1)


def test_a_sample_that_is_there_grows_and_its_past_stays(tmp_path):
    """Also after days in which nobody looked, and on a clock that was set back."""
    first = date(2027, 3, 25)
    generate(tmp_path, first=first, days=2, contacts=1000)
    (tmp_path / "notes").mkdir()  # not a day
    before = contents(tmp_path)
    assert keep_up(tmp_path, first + timedelta(days=4), contacts=1000) == first
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(list(tmp_path.glob("*/_SUCCESS"))) == 5
    assert keep_up(tmp_path, first + timedelta(days=3), contacts=1000) == first
    assert contents(tmp_path) == after


@pytest.mark.parametrize(
    "last",
    [
        date(2027, 4, 2),
        pytest.param(date(2027, 11, 3), marks=pytest.mark.slow),
        pytest.param(date(2028, 3, 6), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_whatever_its_dates_the_demo_shows_a_few_changes_a_day(tmp_path, last):
    """A fortnight that ends with its last day; clocks change in it, or it has a leap day."""
    assert keep_up(tmp_path, last) == last - timedelta(days=DAYS - 1)
    assert max(path.name for path in tmp_path.iterdir()) == last.isoformat()
    with duckdb.connect() as sql:
        sql.execute("set timezone = 'Europe/London'")
        sample = Sample(tmp_path, sql)
        for day in [*days_shown(last), last]:
            assert len(sample.added(AT_RISK, day)) in FEW
            assert len(sample.added(HIGH_VALUE, day)) in FEW
            assert len(sample.flipped(ACTIVE, day, opted_in=False)) in FEW


def run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["segue.sample", *map(str, arguments)])
    command.main()


def test_the_command_line_writes_the_same_snapshots(sample, tmp_path, monkeypatch, capsys):
    run(monkeypatch, tmp_path, "--last", EVERY_DAY[-1])
    assert capsys.readouterr().out == f"Snapshots 2026-11-01 to 2026-11-14 in {tmp_path}\n"
    assert contents(tmp_path) == contents(sample.root)


def test_the_command_line_follows_the_days(tmp_path, monkeypatch, capsys):
    """It writes up to yesterday, then each day's snapshot once it is over."""
    generate(tmp_path, first=date(2026, 12, 31), days=1, contacts=1000)
    days = [date(2027, 1, 1), date(2027, 1, 1), date(2027, 1, 2), date(2027, 1, 3)]
    monkeypatch.setattr(command, "newest_day", lambda now: days.pop(0))
    monkeypatch.setattr(command.time, "sleep", lambda seconds: None)
    with pytest.raises(IndexError):  # the clock's end is the only one
        run(monkeypatch, tmp_path, "--follow", "--contacts", 1000)
    told = [line.split(" in ")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == [f"Snapshots 2026-12-31 to 2027-01-0{day}" for day in (1, 2, 3)]
