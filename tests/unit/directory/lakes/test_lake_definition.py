"""How a directory names a lake's tables, and what is wrong with one that does not."""

from __future__ import annotations

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.documents import parse_document, validate
from segue.errors import DefinitionError

TABLE = """\
  format: delta
  tables:
    contacts: ../lake/customers
"""
SOUND = f"\ndirectory: shop\nlake:\n{TABLE}"


def read(text, tmp_path):
    return validate(DirectoryDefinition, parse_document(text, str(tmp_path / "d" / "shop.yaml")))


def problem_of(text, tmp_path):
    with pytest.raises(DefinitionError) as error:
        read(text, tmp_path)
    (problem,) = error.value.problems
    return f"{problem.line}:{problem.path}: {problem.message}"


def test_a_path_is_relative_to_the_definition(tmp_path):
    lake = read(SOUND, tmp_path).lake
    assert lake.tables == {"contacts": str(tmp_path / "lake" / "customers")}
    assert lake.keys == "daily"


def test_a_url_stays(tmp_path):
    text = SOUND.replace("../lake/customers", "s3://lake/customers")
    assert read(text, tmp_path).lake.tables == {"contacts": "s3://lake/customers"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("lake:", "snapshots: x\nlake:", "3:snapshots: the tables of a `lake` are its snapshots"),
        ("lake:", "complete_marker: x\nlake:", "3:complete_marker: the tables of a `lake`"),
        ("contacts:", "transactions:", "5:lake.tables: contacts is missing"),
        ("../lake/", "s3://me:secret@lake/", "6:lake.tables.contacts: has a password in it"),
        (TABLE, TABLE.replace("delta", "iceberg").replace("../lake/", "crm."), "4:lake.format: an"),
        ("delta\n", "iceberg\n  catalog: c\n", "7:lake.tables.contacts: found '../lake/customers'"),
        (
            "delta\n",
            "delta\n  catalog: c\n",
            "5:lake.catalog: a Delta table is found by",
        ),
        ("delta\n", "delta\n  keys: tags\n", "5:lake.keys: Delta has no tags"),
        ("delta", "hudi", "4:lake.format: "),
        ("delta", "delta\n  keys: weekly", "5:lake.keys: "),
        ("delta", "delta\n  start: soon", "5:lake.start: "),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(tmp_path, old, new, expected):
    problem = problem_of(SOUND.replace(old, new, 1), tmp_path)
    assert problem.startswith(expected)
    assert "secret" not in problem


def test_one_of_the_two_is_needed(tmp_path):
    assert problem_of("directory: shop\n", tmp_path).endswith("the key 'snapshots' is missing")
