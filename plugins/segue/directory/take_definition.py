"""How a directory takes its own snapshots: from which connection, by which queries, and when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from segue.cron import Cron, Start, start_instant
from segue.documents import Definition, ProblemsFound, Unpadded
from segue.hints import did_you_mean

TableName = Literal["contacts", "transactions", "mailing_lists", "subscriptions"]
PARAMETERS = ("as_of", "previous")
_FOLDER = "sql"  # beside directories/: files with queries
_WAYS = ("query", "file", "table")
# no cast, no slice, no time of day; a cast may follow one
_PARAMETER = re.compile(r"(?<![:\w\\]):([A-Za-z_]\w*)(?!\w)")
# texts, quoted names and comments: what stands there is no parameter to a database
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1", re.DOTALL)
_BEFORE_A_WORD = re.compile(r"(?<![:\w\\]):(?=\w)")


class TableSource(Definition):
    """Where the rows of one table come from: a query, a file with one, or a table read whole."""

    query: Annotated[str, Field(min_length=1)] | None = None
    file: Annotated[str, Field(pattern=r"^\w[\w./-]*\.sql$")] | None = None
    table: Annotated[str, Field(pattern=r"^[^\s.\"`;]+(\.[^\s.\"`;]+){0,2}$")] | None = None
    # `now`: whichever day it is asked for, it answers with the present
    knows: Literal["as_of", "now"] = "as_of"

    _sql: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        ways = [way for way in _WAYS if getattr(self, way) is not None]
        if len(ways) != 1:
            what = " and ".join(ways) if ways else "none of them"
            raise ValueError(f"found {what}; expected one of {', '.join(_WAYS)}")
        return self

    @model_validator(mode="after")
    def _asks_for_what_it_knows(self, info: ValidationInfo) -> Self:
        self._sql = self.query if self.file is None else _text_of(self.file, info)
        way = next(way for way in _WAYS if getattr(self, way) is not None)
        problems = list(map(_unknown_parameter, sorted(self.parameters - {*PARAMETERS})))
        problems += map(_quoted_parameter, _quoted_parameters(self._sql or ""))
        if not problems and self.knows == "as_of" and "as_of" not in self.parameters:
            what = "a table read whole" if self.table else "a query without :as_of"
            problem = (
                f"{what} answers with the present, whichever day is asked for; expected a query "
                "for the rows as they stood at :as_of, or `knows: now` beside it"
            )
            problems = [problem]
        if problems:
            raise ProblemsFound([((way,), problem) for problem in problems])
        return self

    @property
    def sql(self) -> str | None:
        """The query; None where a table is read whole."""
        return self._sql

    @property
    def bound_sql(self) -> str:
        """The query as SQLAlchemy's ``text`` reads it, which has a rule of its own for colons.

        It takes ``:1`` of a slice for a parameter, and ``:as_o`` of ``:as_of::date``.
        """
        pieces = _PARAMETER.split(self._sql or "")  # a text and a name in turn
        texts = [_BEFORE_A_WORD.sub(r"\:", text) for text in pieces[::2]]
        names = (f":{name} " for name in pieces[1::2])
        return texts[0] + "".join(map("".join, zip(names, texts[1:], strict=True)))

    def sql_with(self, literals: Mapping[str, str]) -> str:
        """Return the query with literals in the place of its parameters."""
        text = _PARAMETER.sub(lambda match: literals[match[1]], self._sql or "")
        return text.replace(r"\:", ":")

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the parameters that the query is given."""
        return frozenset(_PARAMETER.findall(self._sql or ""))


def _text_of(name: str, info: ValidationInfo) -> str:
    """Return the query in a file of the folder ``sql``."""
    folder = (Path((info.context or {}).get("folder", Path())).parent / _FOLDER).resolve()
    path = folder / name
    if ".." in path.parts:
        raise ProblemsFound([(("file",), f"found {name!r}; allowed: a file below {folder}")])
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text (byte {error.start})"
    raise ProblemsFound([(("file",), message)])


def _quoted_parameters(sql: str) -> list[str]:
    quoted = (name for each in _QUOTED.finditer(sql) for name in _PARAMETER.findall(each[0]))
    return sorted({*quoted} & {*PARAMETERS})


def _quoted_parameter(name: str) -> str:
    return (
        f":{name} stands in quotes or in a comment, where it is no parameter; expected it outside, "
        rf"or \:{name}"
    )


def _unknown_parameter(name: str) -> str:
    allowed = ", ".join(f":{item}" for item in PARAMETERS)
    hint = did_you_mean(name, PARAMETERS)
    return (
        f"there is no parameter :{name}; allowed: {allowed}; a colon that begins none is written "
        rf"\:{hint}"
    )


def _as_source(value: Any) -> Any:
    """Take a text for a query."""
    return {"query": value} if isinstance(value, str) else value


Source = Annotated[TableSource, BeforeValidator(_as_source)]


class Take(Definition):
    """What the DAG ``segue_take_NAME`` reads, and when."""

    connection: Annotated[Unpadded, Field(min_length=1)]
    schedule: Cron | None = None  # None: whenever somebody triggers it
    start: Start
    # A day's last midnight names its snapshot, or the time itself.
    keys: Literal["date", "time"] = "date"
    tables: Annotated[dict[TableName, Source], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_what_it_can_know(self) -> Self:
        if "contacts" not in self.tables:
            raise ProblemsFound([(("tables",), "contacts is missing: every snapshot has contacts")])
        if self.knows_only_now and "keys" in self.model_fields_set and self.keys == "date":
            names = ", ".join(name for name, each in self.tables.items() if each.knows == "now")
            message = (
                f"{names} knows only the present, which is a time and no day; expected keys: time"
            )
            raise ProblemsFound([(("keys",), message)])
        return self

    @property
    def knows_only_now(self) -> bool:
        """Whether a table knows only the present, so that the snapshot as a whole does."""
        return any(source.knows == "now" for source in self.tables.values())

    @property
    def names_days(self) -> bool:
        """Whether the snapshots' keys are dates."""
        return self.keys == "date" and not self.knows_only_now

    def start_instant(self, zone: ZoneInfo) -> datetime:
        """Return ``start`` as an instant in UTC; a date is its midnight in ``zone``."""
        return start_instant(self.start, zone)
