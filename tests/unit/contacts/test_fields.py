"""Details hold what messages and conditions name, and cost no more than that."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.clock import Clock
from segue.contacts.change import Change
from segue.contacts.live_look_up import Desk
from segue.contacts.loading import details_of, fields_read
from segue.contracts.channel import BUILT_IN, channel_class
from segue.contracts.printing import Kind
from segue.contracts.templates import Template
from segue.delivery.steps import _passed, load_branch
from segue.directory.parquet_parts import ParquetSlice
from segue.directory.snapshots import find_snapshot
from segue.ledger import Ledger
from segue.live.http_details import HttpDetails
from segue.runs.areas import RunArea
from segue.testing import RecordingChannel
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
KEY = "2026-11-22"
DEFINITIONS = {
    "directories/people": "directory: people\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n",
    "segments/gold": "segment: gold\ndirectory: people\nmatch: {field: tier, equals: gold}\n",
    "workflows/welcome": """
workflow: welcome
segment: gold
changes: [added]
start: 2026-11-01
conditions: {field: phone, is_set: true}
policies: {quiet_hours: {from: "22:00", to: "07:00", timezone_field: zone}}
actions:
  - {id: mail, if: {field: age, at_least: 18}, slack_message: {channel: c, text: x}}
""",
}
CHANGES = [Change(contact, "added", "", KEY, KEY) for contact in ("a", "b", "nobody")]
COLUMNS = ("contact_id", "age", "city", "name", "phone", "tier", "unsubscribed", "zone")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory of one day, whose contacts have columns that nobody names."""
    for name, body in DEFINITIONS.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    folder = tmp_path / "snapshots" / KEY
    folder.mkdir(parents=True)
    ids = ["c", "b", "a", "d"]
    values = {name: [f"{name} of {contact}" for contact in ids] for name in COLUMNS}
    table = {**values, "contact_id": ids, "age": [20] * 4, "unsubscribed": [False] * 4}
    pq.write_table(pa.table(table), folder / "contacts.parquet", row_group_size=2)
    (folder / "_SUCCESS").touch()
    return tmp_path


def resolve(home: Path, text: str, **others: Any) -> ResolvedWorkflow:
    found = Catalog(home).resolve("welcome")
    channel = RecordingChannel(text=Template(text, Kind.TEXT))
    return dataclasses.replace(found, channels={"mail": channel}, **others)


def loaded(resolved: ResolvedWorkflow) -> set[str]:
    """Return the columns of the details."""
    snapshot = find_snapshot(resolved.directory, KEY, now=NOW)
    return set(details_of(resolved, snapshot, CHANGES).contacts.columns)


def test_only_what_is_named_is_read(home):
    """By the message, the conditions, the `if`, the quiet hours, and what says who opted out."""
    columns = {"contact_id", "name", "phone", "age", "zone", "unsubscribed"}
    assert loaded(resolve(home, "{{ contact.name }}")) == columns


def test_all_is_read_where_any_field_may_be(home):
    assert loaded(resolve(home, "{{ contact[contact.name] }}")) == set(COLUMNS)


def test_what_a_look_up_is_made_with_is_read(home):
    source = HttpDetails.model_validate(
        {"connection": "c", "path": "/{{ contact.city }}", "fields": {"level": "level"}}
    )
    assert {"city", "level"} <= loaded(resolve(home, "x", live=source))


def test_a_message_that_is_mended_after_loading_finds_its_field(home, tmp_path):
    """Details stay as they were loaded; the field that they lack is read from the snapshot."""
    resolved = resolve(home, "{{ contact.name }}")
    area = RunArea(str(tmp_path / "area"))
    area.write_audience(resolved.audience)
    [ref] = area.write_slices([CHANGES[:2]])
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "test")
    load_branch(resolved, ref, Desk(ledger, Clock(lambda: NOW)))
    ledger.engine.dispose()
    area.write_passed(0, CHANGES[:2])

    def city_of_b(text: str) -> str | None:
        mended = resolve(home, text)
        action = mended.definition.action("mail")
        details = _passed(mended, action, ref, Clock(lambda: NOW)).details(KEY)
        found = details.contacts.set_index("contact_id")
        return found["city"]["b"] if "city" in found else None

    assert city_of_b("{{ contact.name }}") is None
    assert city_of_b("{{ contact.name }} of {{ contact.city }}") == "city of b"
    assert city_of_b("{{ contact | tojson }}") == "city of b"


def test_every_built_in_channel_says_what_it_reads():
    for name in BUILT_IN:
        channel = channel_class(name)
        says = next(cls for cls in channel.__mro__ if {"reads", "render"} & vars(cls).keys())
        assert "reads" in vars(says), name


class Pager(RecordingChannel):
    """A team's own channel with a ``render`` that Segue cannot look into."""

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().render(variables), "to": variables["contact"]["pager"]}


class FrankPager(Pager):
    """The same, which says what it reads."""

    reads: ClassVar[frozenset[str]] = frozenset({"pager"})


def test_a_channel_with_a_render_of_its_own_reads_all_unless_it_says_otherwise(home):
    text = Template("{{ contact.name }}", Kind.TEXT)
    resolved = resolve(home, "x")
    for channel, fields in ((Pager, None), (FrankPager, {"name", "pager", "zone"})):
        with_it = dataclasses.replace(resolved, channels={"mail": channel(text=text)})
        assert fields_read(with_it) == fields


def test_a_few_contacts_of_a_large_row_group_are_decoded_batch_by_batch(home, monkeypatch):
    """The rows are the same whatever a batch holds, and in the order of their ids."""
    ids = [f"c{(number * 7919) % 5000:04}" for number in range(5000)]
    table = pa.table({"contact_id": ids, **{f"f{n}": [f"{n}-{i}" for i in ids] for n in range(5)}})
    path = home / "snapshots" / KEY / "contacts.parquet"
    pq.write_table(table, path)
    resolved, asked = resolve(home, "x"), ["c0000", "c0999", "c2500", "c4999", "nobody"]
    from segue.directory.tables import SnapshotTables

    def read() -> list[dict[str, Any]]:
        snapshot = find_snapshot(resolved.directory, KEY, now=NOW)
        found = SnapshotTables(resolved.directory, snapshot).contacts(only=asked)
        return found.to_dict("records")

    monkeypatch.setattr("segue.directory.parquet_parts._FEWEST_ROWS", 100)
    monkeypatch.setattr("segue.directory.parquet_parts._CELLS", 600)
    whole_groups = []
    monkeypatch.setattr(ParquetSlice, "read", lambda *_: whole_groups.append(1))
    rows = read()
    assert not whole_groups
    assert [row["contact_id"] for row in rows] == asked[:-1]
    assert all(row[f"f{n}"] == f"{n}-{row['contact_id']}" for row in rows for n in range(5))
