"""Candidates and changes are built in one place each, so that no preview drifts from a run."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path

import pytest

from segue.contacts.change import Change

PACKAGE = Path(__file__).parents[3] / "plugins" / "segue"


@cache
def calls() -> Mapping[str, Set[str]]:
    """The modules that call something with arguments of its own, by its name."""
    modules: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
            if name and (node.args or any(keyword.arg for keyword in node.keywords)):
                modules.setdefault(name, set()).add(str(path.relative_to(PACKAGE)))
    return modules


def makers(name: str) -> Set[str]:
    """The modules that call a class by its fields; what is read back from JSON is put together."""
    return calls().get(name, set())


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("Candidate", "delivery/candidates.py"),
        ("delivery_key", "contacts/change.py"),
        ("prerequisites", "workflows/resolved.py"),
    ],
)
def test_there_is_one_builder(name, module):
    ledger = {"ledger/base.py"}  # whose rows are no changes yet
    assert makers(name) - ledger == {module}


def test_a_change_is_never_put_together_field_by_field():
    """Which snapshot the details come from is decided by ``between`` and ``supposed`` alone."""
    assert makers("Change") == set()


def test_a_deleted_contact_is_in_the_previous_snapshot_alone():
    names = ("2026-11-21", "2026-11-22", "a", "removed")
    assert Change.between(*names, "deleted").details_at == "2026-11-21"
    assert Change.between(*names, "no_longer_matches").details_at == "2026-11-22"
    assert Change.between(None, *names[1:], "deleted").details_at == "2026-11-22"


def test_a_supposed_change_has_the_reason_of_its_kind():
    assert Change.supposed("a", "added", "2026-11-22", deleted=True).reason == ""
    assert Change.supposed("a", "removed", "2026-11-22", deleted=True).reason == "deleted"
    assert Change.supposed("a", "removed", "2026-11-22").reason == "no_longer_matches"
