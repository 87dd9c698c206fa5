"""Sources of a team's own: the one of docs/snapshots.md, and those that do what they must not."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pytest

from segue import installed as installed_packages
from segue.directory import take_source
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.documents import parse_document, validate
from segue.errors import DataError, DefinitionError
from segue.extend import SnapshotReader, SnapshotSource
from segue.operators.databases import opened_for
from segue.takes.moments import present_moment, why_only_now
from segue.takes.take import take_snapshot
from tests.unit.channels.conftest import set_connection  # noqa: F401 - a fixture
from tests.unit.channels.support import http, vendor

from .conftest import MOMENT

SECTION = (
    (Path(__file__).parents[3] / "docs" / "snapshots.md")
    .read_text()
    .split("## Taken from a source of your own")[1]
    .split("\n## ")[0]
)
[TAKE] = re.findall(r"`(take: .+)`", SECTION)
EMPTY = pa.RecordBatch.from_pylist([], schema=pa.schema([("contact_id", pa.string())]))


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(text)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's module and its entry point, as an installed distribution."""
    points = tomllib.loads(block("toml"))["project"]["entry-points"][take_source.GROUP]
    information = tmp_path / "site" / "crm_people-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: crm\nVersion: 1.0\n")
    lines = [f"[{take_source.GROUP}]", *(f"{name} = {value}" for name, value in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines))
    (information.parent / "crm_people.py").write_text(block("python"))
    monkeypatch.syspath_prepend(information.parent)
    installed_packages.installed.cache_clear()
    yield
    installed_packages.installed.cache_clear()
    sys.modules.pop("crm_people", None)


def directory(root: object, take: str) -> DirectoryDefinition:
    text = f"directory: d\nsnapshots: {root}\nconsent: none\n{take}"
    return validate(DirectoryDefinition, parse_document(text, "d.yaml"))


def test_the_page_s_source_is_taken_from(installed, root, set_connection):  # noqa: F811
    definition = directory(root, TAKE)
    assert definition.take is not None
    assert definition.take.knows_only_now
    assert "contacts (of crm, which knows only the present)" in why_only_now(definition)
    answer = (
        '{"people": [{"contact_id": "007", "email": "a@example.com", "tier": "gold"}],'
        ' "next_page": null}'
    )
    now = datetime.now(UTC)
    with vendor(http("200 OK", answer)) as url:
        set_connection("crm_default", conn_type="http", host=url)
        connect = partial(opened_for, definition.take)
        result = take_snapshot(definition, present_moment(now), connect)
    assert result.rows == 1
    [item] = list_snapshots(definition, now=datetime.now(UTC))
    assert SnapshotTables(definition, item).contacts()["contact_id"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("take", "messages"),
    [
        ("crm: {tears: gold}", ["take.crm.tears: unknown key 'tears'; allowed: connection, tier"]),
        ("crm: 7", ["take.crm: "]),
        ("crn: {}", ["take.crn: unknown key 'crn'; allowed: ", "did you mean 'crm'"]),
        (
            "crm: {}\n  tables: {contacts: {table: a, knows: now}}",
            ["take.crm: found crm and tables; expected one source"],
        ),
        ("connection: shop", ["take.tables: the key 'tables' is missing"]),
        ("keys: date\n  crm: {}", ["take.keys: contacts knows only the present"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(installed, take, messages):
    with pytest.raises(DefinitionError) as error:
        directory("/tmp", f"take:\n  start: 2026-11-01\n  {take}\n")
    told = "\n".join(f"{each.path}: {each.message}" for each in error.value.problems)
    assert all(message in told for message in messages), told
    assert len(error.value.problems) == 1


def test_a_source_that_cannot_be_imported_is_told(monkeypatch):
    monkeypatch.setitem(take_source.BUILT_IN, "gone", "no_such_module:Gone")
    with pytest.raises(DefinitionError, match=r"take\.gone: the source 'gone' cannot be loaded"):
        directory("/tmp", "take: {start: 2026-11-01, gone: {}}")


class Given(SnapshotSource):
    """A source of what a test gives it."""

    name: ClassVar[str] = "given"
    tables: ClassVar[tuple[Any, ...]] = ("contacts",)
    items: ClassVar[Any] = None

    def connect(self) -> SnapshotReader:
        return GivenReader()


class GivenReader(SnapshotReader):
    has_one_view = True

    def batches(self, table: Any, as_of: datetime, previous: datetime | None) -> Any:
        return Given.items() if callable(Given.items) else iter(Given.items)


@pytest.fixture
def take(root, monkeypatch):
    monkeypatch.setitem(take_source.BUILT_IN, "given", f"{__name__}:Given")
    definition = directory(root, "take: {start: 2026-11-01, given: {}}")

    def taken(items: Any) -> SnapshotTables:
        monkeypatch.setattr(Given, "items", staticmethod(items) if callable(items) else items)
        take_snapshot(definition, MOMENT, partial(opened_for, definition.take))
        [item] = list_snapshots(definition, now=datetime.now(UTC))
        return SnapshotTables(definition, item)

    return taken


def test_batches_of_every_kind_are_one_table(take):
    frame = pd.DataFrame({"tier": pd.Categorical(["x"]), "contact_id": ["3"], "n": [[1, 2]]})
    batch = pa.RecordBatch.from_pylist([{"contact_id": "1", "tier": "é", "n": [None]}])
    tables = take([batch, pa.table({"contact_id": ["2"], "tier": [None], "n": [None]}), frame])
    rows = tables.contacts(["tier", "n"]).set_index("contact_id")
    assert rows["tier"].fillna("").tolist() == ["é", "", "x"]
    assert rows["n"].fillna("").tolist() == ["[null]", "", "[1, 2]"]


def test_a_column_of_numbers_and_texts_is_text(take):
    batches = [
        pa.RecordBatch.from_pylist([{"contact_id": "1", "code": 7}]),
        pa.RecordBatch.from_pylist([{"contact_id": "2", "code": "007"}]),
    ]
    assert take(batches).contacts(["code"])["code"].tolist() == ["7", "007"]


def fails() -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pylist([{"contact_id": "1"}])
    raise ValueError("Ann's secret")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "the source 'given' gave nothing"),
        ([[{"contact_id": "1"}]], "yielded list; expected batches"),
        ([EMPTY], "contacts has no rows|no rows"),
        ([EMPTY, pa.RecordBatch.from_pylist([{"id": "1"}])], "the column 'contact_id' is not in"),
        ([pa.RecordBatch.from_arrays([pa.array(["1"])] * 2, ["a", "a"])], "one column 'a'"),
        (fails, rf"the source 'given' failed: ValueError at {re.escape(__file__)}:\d+"),
        (lambda: 7, "the source 'given' failed: TypeError"),
        ([pa.RecordBatch.from_pylist([{"contact_id": "1"}] * 2)], "nothing is published"),
    ],
)
def test_what_is_no_table_is_not_published(take, root, items, message):
    with pytest.raises(DataError, match=message) as error:
        take(items)
    assert "secret" not in str(error.value)
    assert not any(path.is_file() for path in Path(root.path).rglob("*"))


def test_its_end_is_its_own(take, monkeypatch):
    """What is open is closed, whatever happened."""
    closed = []
    monkeypatch.setattr(GivenReader, "__exit__", lambda *_: closed.append(True))
    with pytest.raises(DataError):
        take(fails)
    assert closed == [True]
