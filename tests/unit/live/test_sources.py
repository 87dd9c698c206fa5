"""What each source asks, and what it makes of the answers."""

from __future__ import annotations

import os
import sqlite3
import sys
import uuid
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from http import HTTPStatus
from types import ModuleType
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr, ValidationError
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from segue.contacts.live_look_up import Desk, look_up
from segue.contracts.live_source import BUILT_IN, LiveReader, LiveSource, source_class
from segue.errors import ConnectionFailure, ContactFailure, TransientFailure
from segue.live.http_details import HttpDetails
from segue.live.placeholders import bound, style_of
from segue.live.qualtrics_details import standard_details
from segue.live.sql_details import SqlDetails, SqlReader
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


def test_anothers_details_are_not_taken_for_a_contacts(api, ledger):
    """An API that ignores a parameter lists everybody."""
    ada, bob = at_qualtrics(api, firstName="Ada"), at_qualtrics(api, firstName="Bob")
    source = http(
        path=CONTACTS,
        query={"ignored": "{{ contact.contact_id }}"},
        result="result.elements[?contactId == contact_id()] | [0]",
    )
    contacts = {each: {"contact_id": each} for each in (ada, bob, "CID_0' || `true`")}
    answers = asked(source, contacts, ledger)

    assert {each: answer["first_name"] for each, answer in answers.items()} == {
        ada: "Ada",
        bob: "Bob",
    }


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 0),
        (BY_ROW, 1),
        ({**BY_ROW, "result": "result.elements[?contactId == contact_id()]"}, 0),
    ],
)
def test_a_query_that_is_trusted_is_remarked_on(fields, count):
    remarks = list(http(**fields).remarks())
    assert len(remarks) == count
    assert all(place == ("query",) and "contact_id()" in words for place, words in remarks)


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


@pytest.mark.parametrize("result", ["result.firstName", "[result.firstName]", "`true`"])
def test_what_is_no_object_and_has_no_field_says_nothing_of_a_contact(api, ledger, result):
    """Such as ``{"result": "not now"}``: nobody is opted in by it."""
    ada = at_qualtrics(api)
    source = http(result=result, fields={"level": "level", "unsubscribed": "unsubscribed"})
    answers = asked(source, {ada: {"contact_id": ada}}, ledger)
    assert "no object" in str(answers[ada])


@pytest.mark.parametrize(
    ("fault", "times", "error"),
    [
        ("unauthorized", 1, ConnectionFailure),
        ("server_error", 100, TransientFailure),
        ("malformed_answer", 100, TransientFailure),
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
def crm(tmp_path):
    """The rows in a file of SQLite."""
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE crm (id, name, orders, since, opted_out)")
        connection.executemany("INSERT INTO crm VALUES (?, ?, ?, ?, ?)", ROWS)
    return path


@pytest.fixture
def sqlite_hook(crm):
    """A hook over SQLite, whose driver names parameters otherwise; its provider is not here."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    class SqliteHook(DbApiHook):
        conn_name_attr = "sqlite_conn_id"
        placeholder = "?"

        def get_conn(self):
            return sqlite3.connect(crm)

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
    assert bound(query, ["a", "b"], "format") == (written, parameters)


@pytest.mark.parametrize(
    ("style", "written", "parameters"),
    [
        ("qmark", "x LIKE '5%' AND id IN (?, ?)", ("a", "b")),
        ("numeric", "x LIKE '5%' AND id IN (:1, :2)", ("a", "b")),
        (
            "named",
            "x LIKE '5%' AND id IN (:segue_1, :segue_2)",
            {"segue_1": "a", "segue_2": "b"},
        ),
        ("format", "x LIKE '5%%' AND id IN (%s, %s)", ("a", "b")),
        (
            "pyformat",
            "x LIKE '5%%' AND id IN (%(segue_1)s, %(segue_2)s)",
            {"segue_1": "a", "segue_2": "b"},
        ),
    ],
)
def test_every_style_of_parameters_is_written(style, written, parameters):
    """Of PEP 249: Oracle and Databricks take names, ODBC question marks, BigQuery a mapping."""
    assert bound("x LIKE '5%' AND id IN (:contact_ids)", ["a", "b"], style) == (written, parameters)


class Hook:
    """A hook as far as it says how its driver takes parameters."""

    def __init__(self, placeholder: str = "%s") -> None:
        self.placeholder = placeholder


def connection_of(module: str) -> object:
    """Return a connection as a driver's module would have it."""
    return type("Connection", (), {"__module__": module})()


@pytest.mark.parametrize(
    ("module", "paramstyle"),
    [
        ("oracledb.connection", "named"),
        ("pyodbc", "qmark"),
        ("databricks.sql.client", "named"),
        ("MySQLdb.connections", "format"),
        ("snowflake.connector.connection", "pyformat"),
    ],
)
def test_the_driver_says_how_it_takes_parameters(monkeypatch, module: str, paramstyle: str):
    """Airflow's hooks say ``%s`` of all of these."""
    package = module.rpartition(".")[0] or module
    driver = ModuleType(package)
    driver.paramstyle = paramstyle
    monkeypatch.setitem(sys.modules, package, driver)
    assert style_of(Hook(), connection_of(module)) == paramstyle


def test_where_no_driver_says_so_the_hook_does():
    """BigQuery's connection is Airflow's own; it takes a mapping, as pyformat has it."""
    assert style_of(Hook(), connection_of("airflow.nowhere")) == "pyformat"
    assert style_of(Hook("?"), connection_of("airflow.nowhere")) == "qmark"


def test_what_the_driver_says_goes_before_the_hook():
    with closing(sqlite3.connect(":memory:")) as connection:
        assert style_of(Hook("%s"), connection) == "qmark"


class Warehouse:
    """A connection as BigQuery's: parameters are a mapping, errors have a status."""

    def __init__(self, path, error: Exception | None = None) -> None:
        self._inner, self._error = sqlite3.connect(path), error

    def cursor(self):
        return self

    def close(self) -> None:
        pass

    def execute(self, query: str, parameters: dict[str, str]) -> None:
        if self._error is not None:
            raise self._error
        quoted = {name: "'" + value.replace("'", "''") + "'" for name, value in parameters.items()}
        self._rows = self._inner.execute(query % quoted)

    @property
    def description(self):
        return self._rows.description

    def fetchall(self):
        return self._rows.fetchall()


class WarehouseHook(Hook):
    supports_autocommit = False

    def __init__(self, *connection) -> None:
        super().__init__()
        self._connection = connection

    def get_conn(self):
        return Warehouse(*self._connection)


@pytest.mark.parametrize("query", [ONE, MANY])
def test_a_warehouse_that_wants_a_mapping_is_given_one(crm, query):
    reader = SqlReader(sql(query + " AND name NOT LIKE '%z'"), WarehouseHook(crm))
    answers: dict[str, Any] = {}
    for contacts in [["a", "o'b"]] if query is MANY else [["a"], ["o'b"]]:
        answers |= reader.look_up({key: {} for key in contacts})
    assert {key: answer["first_name"] for key, answer in answers.items()} == {
        "a": "Ann",
        "o'b": "O'B",
    }


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (HTTPStatus.BAD_REQUEST, ConnectionFailure, "refuses the query of the look-up: 400"),
        (HTTPStatus.FORBIDDEN, ConnectionFailure, "refuses"),
        (HTTPStatus.TOO_MANY_REQUESTS, TransientFailure, "did not answer: 429"),
        (HTTPStatus.SERVICE_UNAVAILABLE, TransientFailure, "did not answer: 503"),
    ],
)
def test_an_error_with_a_status_is_told_by_it(crm, code, error, words):
    """Its text may quote what is in the tables."""
    trouble = type("GoogleAPICallError", (Exception,), {"code": code})("secret of a contact")
    with pytest.raises(error, match=words) as raised:
        SqlReader(sql(), WarehouseHook(crm, trouble)).look_up({"a": {}})
    assert "secret" not in str(raised.value)


# Capitals

WITH_ID = ONE.replace("SELECT", "SELECT id AS contact_id,")


def crm_of(tmp_path, collation: str, *ids: str):
    """Return a hook over ids that are compared by a collation."""
    path = tmp_path / f"{collation}.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            f"CREATE TABLE crm (id TEXT COLLATE {collation}, name, orders, since, opted_out)"
        )
        rows = [(each, f"the name of {each}", 1, None, False) for each in ids]
        connection.executemany("INSERT INTO crm VALUES (?, ?, ?, ?, ?)", rows)

    class PathHook(Hook):
        supports_autocommit = False

        def get_conn(self):
            return sqlite3.connect(path)

    return PathHook()


def names_of(query: str, hook, *contacts: str) -> dict[str, str]:
    reader = SqlReader(sql(query), hook)
    parts = [contacts] if query is MANY else [[contact] for contact in contacts]
    answers: dict[str, Any] = {}
    for part in parts:
        answers |= reader.look_up({key: {} for key in part})
    return {contact: answer["first_name"] for contact, answer in answers.items()}


@pytest.mark.parametrize("query", [WITH_ID, MANY])
def test_anothers_row_is_not_given_to_a_contact_whose_id_differs_in_capitals(
    tmp_path, query, caplog
):
    """To the database they are the same, by default at MySQL and SQL Server."""
    hook = crm_of(tmp_path, "NOCASE", "CID_ABC", "CID_xyz")
    assert names_of(query, hook, "CID_abc", "CID_xyz") == {"CID_xyz": "the name of CID_xyz"}
    assert "gives rows of ids that were not asked for" in caplog.text
    assert "CID_ABC" not in caplog.text


@pytest.mark.parametrize("query", [WITH_ID, MANY])
def test_of_two_that_differ_in_capitals_each_has_its_own_row(tmp_path, query):
    hook = crm_of(tmp_path, "NOCASE", "CID_ABC", "CID_abc")
    expected = {each: f"the name of {each}" for each in ("CID_ABC", "CID_abc")}
    assert names_of(query, hook, "CID_abc", "CID_ABC") == expected


@pytest.mark.parametrize("contact", ["CID_abc", "CID_ABC"])
def test_a_query_that_gives_no_id_must_be_of_a_database_that_tells_capitals_apart(
    tmp_path, contact
):
    hook = crm_of(tmp_path, "NOCASE", "CID_ABC")
    with pytest.raises(ConnectionFailure, match="let the query give a column contact_id") as raised:
        names_of(ONE, hook, contact)
    assert "CID" not in str(raised.value)


def test_such_a_database_is_asked_twice_for_the_first_contact_alone(tmp_path):
    hook = crm_of(tmp_path, "BINARY", "a", "A", "7", "b")
    expected = {each: f"the name of {each}" for each in ("7", "a", "A", "b")}
    assert names_of(ONE, hook, "7", "nobody", "a", "A", "b") == expected


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
