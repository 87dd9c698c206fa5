"""How a driver takes parameters: the styles of PEP 249, and which of them a connection has.

Followed:
    https://peps.python.org/pep-0249/#paramstyle (a global of the driver's module)
    Airflow's ``DbApiHook.placeholder``: ``%s`` where a hook does not say otherwise, though
    oracledb takes ``:1`` or ``:name``, pyodbc ``?``, and databricks-sql-connector ``:name``
    apache-airflow-providers-google 22.8.0, ``BigQueryCursor.execute``: parameters are a mapping,
    and ``%(name)s`` in the query
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MANY = "contact_ids"

# texts, quoted names and comments are left alone; a cast such as ::date is no parameter
PARAMETER = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|(?<![:\w]):(contact_ids?)\b", re.DOTALL
)
_NAME = "segue_{}"
_PLACEHOLDERS: Mapping[str, Callable[[int], str]] = {
    "qmark": lambda _: "?",
    "numeric": lambda number: f":{number}",
    "named": lambda number: f":{_NAME.format(number)}",
    "format": lambda _: "%s",
    "pyformat": lambda number: f"%({_NAME.format(number)})s",
}
_BY_NAME = ("named", "pyformat")
_WITH_PERCENT = ("format", "pyformat")

Parameters = tuple[str, ...] | dict[str, str]


def style_of(hook: Any, connection: Any) -> str:
    """Return the style of an open connection's parameters.

    It is what the driver says, else the hook, or the connection's extra (``placeholder``). A hook's
    ``%s`` is taken for ``pyformat``: drivers that format queries take names too, and that of
    BigQuery nothing else.
    """
    return _style_of_driver(connection) or ("qmark" if hook.placeholder == "?" else "pyformat")


def _style_of_driver(connection: Any) -> str | None:
    """Return the ``paramstyle`` of a connection's module, or of a package around it."""
    for kind in type(connection).__mro__:
        name = kind.__module__
        while name:
            style = getattr(sys.modules.get(name), "paramstyle", None)
            if style in _PLACEHOLDERS:
                return str(style)
            name = name.rpartition(".")[0]
    return None


def bound(query: str, ids: Sequence[str], style: str) -> tuple[str, Parameters]:
    """Return the query as a driver takes it, and its parameters."""
    values: list[str] = []

    def placeholders(match: re.Match[str]) -> str:
        if not match[1]:
            return _escape(match[0], style)
        first = len(values) + 1
        values.extend(ids if match[1] == MANY else ids[:1])
        return ", ".join(_PLACEHOLDERS[style](n) for n in range(first, len(values) + 1))

    parts, end = [], 0
    for match in PARAMETER.finditer(query):
        parts += [_escape(query[end : match.start()], style), placeholders(match)]
        end = match.end()
    parts.append(_escape(query[end:], style))
    by_name = {_NAME.format(number): value for number, value in enumerate(values, 1)}
    return "".join(parts), by_name if style in _BY_NAME else tuple(values)


def _escape(text: str, style: str) -> str:
    """Double the per cent signs where the driver's placeholders begin with one."""
    return text.replace("%", "%%") if style in _WITH_PERCENT else text
