"""Operators are thin: what becomes of a run is decided in the core, which knows no Airflow."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from segue import operators, sensors
from segue.ledger import Ledger

STORES = re.findall(r"self\.(\w+) = ", inspect.getsource(Ledger))


def calls_of_stores(source: str) -> list[str]:
    """Return where a source asks a store of the ledger: ``12 open_ledger().runs``."""
    return [
        f"{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr in STORES
        and ast.unparse(node.value).endswith(("ledger", "ledger()"))
    ]


@pytest.mark.parametrize("package", [operators, sensors])
def test_an_operator_asks_the_ledger_for_nothing_itself(package):
    """It opens the ledger and hands it on: a call of a store belongs below it."""
    for path in Path(package.__file__).parent.glob("*.py"):
        assert calls_of_stores(path.read_text()) == [], path.name


def test_what_asks_a_store():
    assert calls_of_stores("run.ledger.runs.release([])") == ["1 run.ledger.runs"]
    assert calls_of_stores("\nopen_ledger().people.stop()") == ["2 open_ledger().people"]
    assert calls_of_stores("keep_house(open_ledger(), settings.retention)") == []
