"""A defect is told by its kind and its place; its text may be a contact's, or a secret."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

from segue.errors import log_defect

PACKAGE = Path(__file__).parents[2] / "plugins" / "segue"


def test_a_defect_is_logged_without_its_text(caplog):
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("ann" + "@example.com")
    assert log_defect(logging.getLogger("segue"), caught.value, "in the channel") == "ValueError"
    assert caplog.messages[0].startswith("ValueError in the channel at\n")
    assert "test_errors.py" in caplog.text
    assert "ann@example.com" not in caplog.text


def test_a_traceback_is_taken_in_one_place():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("format_tb", "format_exc")
    }
    assert users == {"errors.py"}
