"""What stands below ``qualtrics:`` is checked where it is written, without a call."""

from __future__ import annotations

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.documents import parse_document, validate
from segue.errors import DefinitionError


def definition(take: str) -> DirectoryDefinition:
    text = f"directory: d\nsnapshots: s\ntake:\n  start: 2026-11-01\n  {take}\n"
    return validate(DirectoryDefinition, parse_document(text, "d.yaml"))


WRONG = [
    ("qualtrics: {}", "d.yaml:5:3: take.qualtrics.directory: the key 'directory' is missing"),
    ("qualtrics: {directory: POOL-1}", "take.qualtrics.directory: .*found 'POOL-1'"),
    ("qualtric: {directory: POOL_1}", "unknown key 'qualtric'.*did you mean 'qualtrics'"),
    ("qualtrics: {directory: POOL_1, embeded_data: [a]}", "did you mean 'embedded_data'"),
    ("qualtrics: {directory: POOL_1, embedded_data: [email]}", "'email' is a column of its own"),
    ("qualtrics: {directory: POOL_1, transactions: [date]}", "'date' is a column of its own"),
    ("qualtrics: {directory: POOL_1, mailing_lists: every}", "allowed: 'all' or a mapping"),
    (
        "qualtrics: {directory: POOL_1, mailing_lists: {'segment:x': CG_1}}",
        "'segment:x' begins as the name of a segment does",
    ),
    ("qualtrics: {directory: POOL_1, mailing_lists: {a: x}}", "found 'x'"),
    ("qualtrics: {directory: POOL_1, segments: {a: 'x y'}}", "found 'x y'"),
    ("keys: date\n  qualtrics: {directory: POOL_1}", "contacts knows only the present"),
]


@pytest.mark.parametrize(("take", "message"), WRONG)
def test_what_is_wrong_is_told_with_its_place(take, message):
    with pytest.raises(DefinitionError, match=message):
        definition(take)


@pytest.mark.parametrize(
    ("fields", "tables"),
    [
        ("", ["contacts"]),
        (", embedded_data: [tier]", ["contacts"]),
        (", segments: all", ["contacts", "mailing_lists"]),
        (", mailing_lists: {a: CG_1}", ["contacts", "mailing_lists"]),
        (", transactions: []", ["contacts", "transactions"]),
    ],
)
def test_its_tables_are_those_that_are_asked_for(fields, tables):
    take = definition(f"qualtrics: {{directory: POOL_1{fields}}}").take
    assert take is not None
    assert list(take.table_names) == tables
    assert list(take.only_now) == tables
    assert not take.names_days
