"""What a directory may say of the tables that it reads itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.documents import parse_document, validate
from segue.errors import DefinitionError

TAKE = """
directory: shop
snapshots: ../snapshots
take:
  connection: warehouse
  start: 2026-11-01
  tables:
    contacts: {contacts}
"""
HISTORY = "SELECT id AS contact_id FROM customers WHERE since < :as_of"


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "sql").mkdir()

    def read(contacts, extra=""):
        text = TAKE.replace("{contacts}", contacts) + extra
        document = parse_document(text, str(tmp_path / "directories" / "shop.yaml"))
        return validate(DirectoryDefinition, document)

    return read


def problem(read, *arguments):
    with pytest.raises(DefinitionError) as error:
        read(*arguments)
    [only] = error.value.problems
    return f"{only.path}: {only.message}"


@pytest.mark.parametrize("way", [f'"{HISTORY}"', f'{{query: "{HISTORY}"}}', "{file: people.sql}"])
def test_a_query_is_written_in_three_ways(directory, tmp_path, way):
    (tmp_path / "sql" / "people.sql").write_text(HISTORY)
    take = directory(way).take
    assert take.tables["contacts"].sql == HISTORY
    assert take.names_days


def test_a_table_may_keep_its_own_days(directory):
    for columns in ("partition: ds", "valid_from: a, valid_to: b"):
        take = directory(f"{{table: dw.contacts, {columns}}}").take
        assert take.names_days
        assert take.tables["contacts"].keeps_days


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        (f'{{query: "{HISTORY}", partition: ds}}', "contacts: partition, valid_from and valid_to"),
        ("{table: a, valid_from: b}", "contacts: expected valid_from and valid_to together"),
        ("{table: a, partition: d, valid_from: b, valid_to: c}", "found partition and valid_from"),
        ("{table: a, partition: d, knows: now}", "contacts.knows: a table that keeps its own days"),
        ("{table: a}", "expected the column of its days (`partition`)"),
    ],
)
def test_days_are_kept_in_one_way(directory, contacts, message):
    assert message in problem(directory, contacts)


def test_a_partition_is_no_time(directory):
    message = problem(directory, "{table: a, partition: ds}", "  keys: time\n")
    assert "take.tables.contacts.partition: a partition is a day's" in message
    others = "    transactions: {table: b, knows: now}\n"
    message = problem(directory, "{table: a, partition: ds}", others)
    assert "named by times (transactions `knows: now`)" in message


def test_what_answers_with_the_present_says_so(directory):
    assert directory("{table: crm.customers, knows: now}").take.knows_only_now
    for contacts, what in (
        ("{table: crm.customers}", "a table read whole"),
        ('"SELECT id FROM customers"', "a query without :as_of"),
    ):
        message = problem(directory, contacts)
        assert f"{what} answers with the present" in message
        assert "`knows: now`" in message


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        ("{knows: now}", "take.tables.contacts: found none of them; expected one of query, file"),
        ("{table: a, query: b, knows: now}", "found query and table; expected one of"),
        ('"SELECT :asof, :as_of"', "no parameter :asof; allowed: :as_of, :previous; a colon"),
        ("\"SELECT ':as_of', a WHERE b < :as_of\"", ":as_of stands in quotes or in a comment"),
        ('"SELECT a /* as of :as_of */ FROM b"', ":as_of stands in quotes or in a comment"),
        ("{file: gone.sql}", "take.tables.contacts.file: "),
        ("{file: a/../../gone.sql}", "take.tables.contacts.file: found 'a/../../gone.sql'"),
        ('{table: "a; DROP TABLE b", knows: now}', "take.tables.contacts.table"),
    ],
)
def test_what_cannot_be_read_is_told(directory, contacts, message):
    assert message in problem(directory, contacts)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a::text, b[1:2], '10:30', '\\:name' FROM c WHERE d < :as_of",
        "SELECT a FROM b WHERE c < CAST(:as_of AS DATE) AND d > :previous",
    ],
)
def test_a_colon_is_not_always_a_parameter(directory, tmp_path, query):
    (tmp_path / "sql" / "q.sql").write_text(query)
    source = directory("{file: q.sql}").take.tables["contacts"]
    assert source.parameters <= {"as_of", "previous"}


def test_a_snapshot_has_contacts():
    text = TAKE.replace("contacts: {contacts}", f'transactions: "{HISTORY}"')
    with pytest.raises(DefinitionError, match="contacts is missing"):
        validate(DirectoryDefinition, parse_document(text, str(Path("/x/directories/shop.yaml"))))


def test_days_are_named_only_where_they_are_known(directory):
    message = problem(directory, "{table: customers, knows: now}", "  keys: date\n")
    assert "contacts knows only the present, which is a time and no day" in message
    message = problem(directory, f'"{HISTORY}"', "date_keys: start_of_day\n")
    assert "names the day that is over" in message
