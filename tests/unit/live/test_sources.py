"""What each source asks, and what it makes of the answers."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr, ValidationError
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from segue.contacts.live_look_up import Desk, look_up
from segue.contracts.live_source import BUILT_IN, LiveReader, LiveSource, source_class
from segue.errors import ConnectionFailure, ContactFailure, TransientFailure
from segue.live.http_details import HttpDetails
from segue.live.qualtrics_details import standard_details
from segue.live.sql_details import SqlDetails, SqlReader, bound
from segue.sandbox.vendors import qualtrics_api
from tests.unit.conftest import POSTGRESQL, _postgresql
from tests.unit.live.world import at_qualtrics

CONTACTS = f"/API/v3/directories/{qualtrics_api.DIRECTORY}/contacts"

BY_ROW = {
    "path": CONTACTS,
    "query": {"skipToken": "{{ contact.row }}"},
    "result": "result.elements[0]",
}
MISSING = "missing field: contact.row"


def asked(source, contacts, ledger, **clock):
    return look_up(source, contacts, Desk(ledger, **clock))


def reasons(answers) -> dict[str, str]:
    return {c: str(a) for c, a in answers.items() if isinstance(a, ContactFailure)}


# HTTP


@pytest.fixture
def api(sandbox, set_connection):
    """Any HTTP API: that of Qualtrics, as if nothing were known of it."""
    headers = {"X-API-TOKEN": qualtrics_api.TOKEN, "timeout": 10, "segue_rate": "none"}
    set_connection("any_api", conn_type="http", host=f"{sandbox.url}/qualtrics", extra=headers)
    return sandbox


def http(**fields) -> HttpDetails:
    usual = {
        "connection": "any_api",
        "path": CONTACTS + "/{{ contact.contact_id }}",
        "result": "result",
        "fields": {"first_name": "firstName", "level": "embeddedData.level"},
    }
    return HttpDetails.model_validate({**usual, **fields})


def test_fields_are_found_by_expressions(api, ledger):
    ada = at_qualtrics(api, embeddedData={"level": "mid"})
    poor = at_qualtrics(api, firstName="")
    ids = (ada, poor, "CID_0")
    answers = asked(http(), {contact: {"contact_id": contact} for contact in ids}, ledger)

    assert answers == {
        ada: {"first_name": "New", "level": "mid", "unsubscribed": None},
        poor: {"first_name": None, "level": None, "unsubscribed": None},
    }


def test_who_is_not_in_the_answer_is_not_there(api, ledger):
    """An API may answer 200 with an empty list."""
    source = http(**BY_ROW)
    ada = at_qualtrics(api)
    answers = asked(source, {ada: {"row": 0}, "b": {"row": 9}}, ledger)

    assert list(answers) == [ada]


def test_one_refused_contact_is_its_own_failure(api, ledger):
    """A 400, a field that the path needs and the contact lacks, a path that is another."""
    source = http(**BY_ROW)
    hostile = "<b>-5\r\n"
    at_qualtrics(api)
    answers = asked(source, {"a": {"row": "0"}, "b": {"row": hostile}, "c": {}}, ledger)

    assert reasons(answers) == {"b": "any_api answered 400", "c": MISSING}
    assert hostile not in str(reasons(answers))
    assert answers["a"]["first_name"] == "New"
    path = reasons(asked(http(), {"..": {"contact_id": ".."}}, ledger))
    assert path[".."].startswith("path: ")


def test_an_answer_of_another_shape_is_the_contacts_failure(api, ledger):
    ada = at_qualtrics(api)
    source = http(fields={"level": "abs(firstName)"})
    answers = asked(source, {ada: {"contact_id": ada}}, ledger)

    assert isinstance(answers[ada], ContactFailure)
    assert "New" not in str(answers[ada])


@pytest.mark.parametrize(
    ("fault", "times", "error"),
    [
        ("unauthorized", 1, ConnectionFailure),
        ("server_error", 3, TransientFailure),
        ("malformed_answer", 3, TransientFailure),
    ],
)
def test_what_is_not_of_the_contact_ends_the_look_up(api, ledger, fault, times, error, no_pause):
    ada = at_qualtrics(api)
    api.fault("qualtrics", fault, times=times)

    with pytest.raises(error):
        asked(http(), {ada: {"contact_id": ada}}, ledger, clock=no_pause)


def test_a_fixed_path_that_is_not_there_is_a_wrong_connection(api, ledger):
    source = http(path="/nothing", query={"id": "{{ contact.contact_id }}"})

    with pytest.raises(ConnectionFailure, match="404"):
        asked(source, {"a": {"contact_id": "a"}}, ledger)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"path": "/all", "query": {}}, "asks for no contact"),
        ({"path": "/{{ results.x }}"}, "found results; allowed: contact"),
        ({"fields": {"contact_id": "id"}}, "'contact_id' is the snapshot's"),
        ({"fields": {"opted_in": "id"}}, "'opted_in' is the snapshot's"),
        ({"fields": {"level": "]"}}, "level"),
        ({"path": "no/slash/{{ contact.contact_id }}"}, "path"),
    ],
)
def test_wrong_look_ups_are_refused(wrong, message):
    with pytest.raises(ValidationError) as caught:
        http(**wrong)
    assert message in str(caught.value)


# Qualtrics


def test_a_contact_of_every_endpoint_is_read_alike():
    """Single, list and search name the same fields otherwise; an opt-out under any name counts."""
    single = {
        "contactId": "CID_1",
        "phone": "1",
        "extRef": "e",
        "directoryUnsubscribed": True,
        "creationDate": 1547332513000,
        "embeddedData": {"tier": "gold"},
    }
    search = {
        "id": "CID_1",
        "phoneNumber": "1",
        "externalDataReference": "e",
        "unsubscribed": True,
        "creationDate": "2019-01-12T22:35:13Z",
        "embeddedData": {"tier": "gold"},
    }
    one, other = (standard_details(found, {"plan": "tier"}) for found in (single, search))

    assert one.pop("created_at") == datetime(2019, 1, 12, 22, 35, 13, tzinfo=UTC)
    assert other.pop("created_at") == "2019-01-12T22:35:13Z"
    assert one == other
    assert one["plan"] == "gold"
    both = {"directoryUnsubscribed": False, "unsubscribed": True}
    assert standard_details(both, {})["unsubscribed"] is True


# SQL

ROWS = [
    ("a", "Ann", 5, date(2026, 1, 2), True),
    ("o'b", "O'B", None, None, False),
    ("two", "x", 1, None, False),
    ("two", "y", 1, None, False),
]
FIELDS = {"first_name": "NAME", "orders": "orders", "since": "since", "unsubscribed": "opted_out"}
ONE = "SELECT name, orders, since, opted_out FROM crm WHERE id = :contact_id"
MANY = "SELECT id AS contact_id, name, orders, since, opted_out FROM crm WHERE id IN (:contact_ids)"


def sql(query: str = ONE, **fields) -> SqlDetails:
    return SqlDetails.model_validate(
        {"connection": "warehouse", "query": query, "fields": FIELDS, **fields}
    )


@pytest.fixture
def warehouse(set_connection):
    """A new database of a real PostgreSQL behind the Airflow connection ``warehouse``."""
    admin = _postgresql()
    name = f"segue_test_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(POSTGRESQL).set(database=name)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE crm (id text, name text, orders int, since date, opted_out boolean)")
        )
        connection.execute(text("CREATE TABLE numbered (id int, name text)"))
        connection.execute(text("INSERT INTO numbered VALUES (1, 'One')"))
        for row in ROWS:
            values = dict(zip("abcde", row, strict=True))
            connection.execute(text("INSERT INTO crm VALUES (:a, :b, :c, :d, :e)"), values)
    set_connection(
        "warehouse",
        conn_type="postgres",
        host=url.host,
        port=url.port,
        login=url.username or os.environ.get("PGUSER", "postgres"),
        password=url.password or "",
        schema=name,
    )
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.postgres
@pytest.mark.parametrize("query", [ONE, MANY])
def test_rows_are_details(warehouse, ledger, query):
    """One query per contact, or one for many; ids are parameters, whatever is in them."""
    drop = "'; DROP TABLE crm; --%s"
    answers = asked(sql(query), {key: {} for key in ("a", "o'b", drop, "two", "%")}, ledger)

    assert reasons(answers) == {"two": "the query gives more than one row"}
    assert {key: answer for key, answer in answers.items() if key != "two"} == {
        "a": {"first_name": "Ann", "orders": 5, "since": date(2026, 1, 2), "unsubscribed": True},
        "o'b": {"first_name": "O'B", "orders": None, "since": None, "unsubscribed": False},
    }


@pytest.mark.postgres
def test_an_id_that_is_no_key_is_its_own_failure(warehouse, ledger):
    """Among hundreds, it is found by halves; its text is in no message."""
    ids = "SELECT unnest(ARRAY[:contact_ids])::int"
    cast = f"SELECT id AS contact_id, name FROM numbered WHERE id IN ({ids})"
    many = {"1": {}, **{str(n): {} for n in range(2, 300)}, "hostile": {}}
    answers = asked(sql(cast, fields={"first_name": "name"}), many, ledger)

    assert answers["1"]["first_name"] == "One"
    assert reasons(answers) == {
        "hostile": "the database of 'warehouse' cannot take a value: "
        "InvalidTextRepresentation 22P02"
    }
    assert len(answers) == 2


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("query", "fields", "message"),
    [
        ("SELECT nme FROM crm WHERE id = :contact_id", FIELDS, "refuses the query"),
        ("SELECT name FROM crms WHERE id = :contact_id", FIELDS, "UndefinedTable 42P01"),
        (ONE, {"level": "nmae"}, "gives no columns 'nmae'; it gives: name, orders"),
        (ONE.replace("orders", "name"), FIELDS, "gives 2 columns 'NAME'"),
        (MANY.replace(" AS contact_id", ""), FIELDS, "gives no columns 'contact_id'"),
    ],
)
def test_a_wrong_query_is_named_and_found_when_tried(warehouse, ledger, query, fields, message):
    source = sql(query, fields=fields)
    with pytest.raises(ConnectionFailure, match=message.replace("(", r"\(")):
        asked(source, {"a": {}}, ledger)
    with source.connect() as reader, pytest.raises(ConnectionFailure):
        reader.check(frozenset())
    with sql().connect() as reader:
        assert reader.check(frozenset()).tried == "ok"


def test_a_database_that_is_not_there_is_named(ledger, set_connection, no_pause):
    set_connection("warehouse", conn_type="postgres", host="127.0.0.1", port=9, login="x")
    with pytest.raises(ConnectionFailure, match="cannot be reached, or refuses the login"):
        asked(sql(), {"a": {}}, ledger, clock=no_pause)
    set_connection("warehouse", conn_type="http", host="http://x")
    with pytest.raises(ConnectionFailure, match="of type http, which takes no SQL"):
        asked(sql(), {"a": {}}, ledger)


@pytest.fixture
def sqlite_hook(tmp_path):
    """A hook over SQLite, whose driver names parameters otherwise; its provider is not here."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE crm (id, name, orders, since, opted_out)")
        connection.executemany("INSERT INTO crm VALUES (?, ?, ?, ?, ?)", ROWS)

    class SqliteHook(DbApiHook):
        conn_name_attr = "sqlite_conn_id"
        placeholder = "?"

        def get_conn(self):
            return sqlite3.connect(path)

    return SqliteHook()


class OverHook(SqlDetails):
    """A source over a hook that is given."""

    _hook: Any = PrivateAttr()

    def connect(self):
        return SqlReader(self, self._hook)


@pytest.mark.parametrize("query", [ONE, MANY])
def test_a_driver_that_allows_one_thread_is_called_in_it(sqlite_hook, ledger, query):
    """As sqlite3 does: what connects also asks and closes."""
    source = OverHook.model_validate(sql(query).model_dump())
    source._hook = sqlite_hook
    answers = asked(source, {"a": {}, "o'b": {}, "nobody": {}}, ledger)
    assert {key: answer["first_name"] for key, answer in answers.items()} == {
        "a": "Ann",
        "o'b": "O'B",
    }


@pytest.mark.parametrize("query", [ONE, MANY])
def test_another_drivers_placeholders(sqlite_hook, query):
    with SqlReader(sql(query), sqlite_hook) as reader:
        found = {}
        for contacts in [["a", "o'b"]] if query is MANY else [["a"], ["o'b"]]:
            found |= reader.look_up({key: {} for key in contacts})
    assert {key: answer["first_name"] for key, answer in found.items()} == {
        "a": "Ann",
        "o'b": "O'B",
    }


@pytest.mark.parametrize(
    ("query", "written", "parameters"),
    [
        ("WHERE id = :contact_id", "WHERE id = %s", ("a",)),
        ("WHERE id IN (:contact_ids)", "WHERE id IN (%s, %s)", ("a", "b")),
        ("id = :contact_id OR x = :contact_id", "id = %s OR x = %s", ("a", "a")),
        (
            "x LIKE '5%:contact_id' AND id = :contact_id",
            "x LIKE '5%%:contact_id' AND id = %s",
            ("a",),
        ),
        ("-- :contact_id\n:contact_id::text", "-- :contact_id\n%s::text", ("a",)),
    ],
)
def test_ids_are_bound(query, written, parameters):
    assert bound(query, ["a", "b"], "%s") == (written, parameters)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 1", "found neither"),
        ("SELECT :contact_id, :contact_ids", "found :contact_id and :contact_ids"),
        ("SELECT '{{ contact.contact_id }}' = :contact_id", "a query is no template"),
    ],
)
def test_wrong_queries_are_refused(query, message):
    with pytest.raises(ValidationError, match=message):
        sql(query)


# All


class Fixed(LiveSource):
    """A source that answers the same about everybody, or raises it."""

    name: ClassVar[str] = "fixed"
    connection: str = "none"
    _answer: Any = PrivateAttr()

    @classmethod
    def of(cls, answer: Any) -> Fixed:
        made = cls()
        made._answer = answer
        return made

    @property
    def provides(self):
        return ("level", "unsubscribed")

    def connect(self):
        return FixedReader(self._answer)


class FixedReader(LiveReader):
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def look_up(self, contacts):
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict.fromkeys(contacts, self.answer)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (float("nan"), None),
        (Decimal("1.5"), Decimal("1.5")),
        ("", None),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("\ud800", "?"),
    ],
)
def test_values_are_plain(ledger, value, found):
    assert asked(Fixed.of({"level": value}), {"a": {}}, ledger)["a"]["level"] == found


@pytest.mark.parametrize(
    ("value", "found"),
    [(True, True), ("no", False), ("YES", True), (0, False), (None, None), ("maybe", "no boolean")],
)
def test_an_opt_out_is_a_boolean_or_a_failure(ledger, value, found):
    answer = asked(Fixed.of({"unsubscribed": value}), {"a": {}}, ledger)["a"]
    if found == "no boolean":
        assert "unsubscribed is no boolean" in str(answer)
    else:
        assert answer["unsubscribed"] is found


def test_a_defect_of_a_source_shows_no_text_of_its_own(ledger, caplog):
    with pytest.raises(ConnectionFailure, match="a defect in the look-up: KeyError"):
        asked(Fixed.of(KeyError("secret of a contact")), {"a": {}}, ledger)
    assert "KeyError in the look-up at" in caplog.text
    assert "secret" not in caplog.text


def test_every_source_is_found_by_its_name():
    assert [source_class(name).name for name in BUILT_IN] == list(BUILT_IN)
