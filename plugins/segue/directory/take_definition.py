"""How a directory takes its own snapshots: from which connection, by which queries, and when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)

from segue.cron import Cron, Start, start_instant
from segue.directory.take_source import (
    SnapshotSource,
    TableName,
    take_source_class,
    take_source_names,
)
from segue.documents import Definition, Location, ProblemsFound, Unpadded, described
from segue.hints import did_you_mean

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
    # Of a table that keeps its own days: the column with a partition's day, or those with the
    # times that a row is valid from and to, as of dbt's snapshots.
    partition: Annotated[str, Field(min_length=1)] | None = None
    valid_from: Annotated[str, Field(min_length=1)] | None = None
    valid_to: Annotated[str, Field(min_length=1)] | None = None
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
    def _keeps_days_in_one_way(self) -> Self:
        if self.keeps_days and self.table is None:
            raise ValueError("partition, valid_from and valid_to are columns of a `table`")
        if (self.valid_from is None) != (self.valid_to is None):
            raise ValueError("expected valid_from and valid_to together")
        if self.partition is not None and self.valid_from is not None:
            raise ValueError("found partition and valid_from; expected one of them")
        if self.keeps_days and self.knows == "now":
            raise ProblemsFound([(("knows",), "a table that keeps its own days knows them")])
        return self

    @model_validator(mode="after")
    def _asks_for_what_it_knows(self, info: ValidationInfo) -> Self:
        self._sql = self.query if self.file is None else _text_of(self.file, info)
        way = next(way for way in _WAYS if getattr(self, way) is not None)
        problems = list(map(_unknown_parameter, sorted(self.parameters - {*PARAMETERS})))
        problems += map(_quoted_parameter, _quoted_parameters(self._sql or ""))
        can_tell = self.keeps_days or self.knows == "now" or "as_of" in self.parameters
        if not problems and not can_tell:
            what, how = "a query without :as_of", "expected a query for"
            if self.table:
                what = "a table read whole"
                how = "expected the column of its days (`partition`), or those of a row's times "
                how += "(`valid_from` and `valid_to`), a query for"
            problem = (
                f"{what} answers with the present, whichever day is asked for; {how} the rows as "
                "they stood at :as_of, or `knows: now` beside it"
            )
            problems = [problem]
        if problems:
            raise ProblemsFound([((way,), problem) for problem in problems])
        return self

    @property
    def keeps_days(self) -> bool:
        """Whether it is a table that keeps its own days."""
        return any((self.partition, self.valid_from, self.valid_to))

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
        if self.valid_from is not None:
            return frozenset({"as_of"})
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
    """What the DAG ``segue_take_NAME`` reads, and when: tables of a database, or another source."""

    model_config = ConfigDict(extra="allow")  # the name of a source, and what stands below it

    connection: Annotated[Unpadded, Field(min_length=1)] | None = None
    schedule: Cron | None = None  # None: whenever somebody triggers it
    start: Start
    # A day's last midnight names its snapshot, or the time itself.
    keys: Literal["date", "time"] = "date"
    tables: Annotated[dict[TableName, Source], Field(min_length=1)] | None = None

    _source: SnapshotSource | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _has_one_source(self, info: ValidationInfo) -> Self:
        names = take_source_names()
        further = self.model_extra or {}
        problems = [_unknown_key(name, names) for name in further if name not in names]
        sources = [name for name in further if name in names]
        of_databases = [key for key in ("connection", "tables") if key in self.model_fields_set]
        if not sources and not problems:
            missing = {"connection", "tables"} - {*of_databases}
            problems += [((key,), f"the key {key!r} is missing") for key in sorted(missing)]
        elif len(sources) > 1 or (sources and of_databases):
            others = " and ".join([*of_databases, *sources[1:]])
            message = f"found {sources[0]} and {others}; expected one source"
            problems.append(((sources[0],), message))
        if problems:
            raise ProblemsFound(problems)
        if sources:
            self._source = _source(sources[0], further[sources[0]], info)
        return self

    @model_validator(mode="after")
    def _names_what_it_can_know(self) -> Self:
        if "contacts" not in self.table_names:
            place = "tables" if self._source is None else self._source.name
            raise ProblemsFound([((place,), "contacts is missing: every snapshot has contacts")])
        if self.only_now and "keys" in self.model_fields_set and self.keys == "date":
            message = (
                f"{', '.join(self.only_now)} knows only the present, which is a time and no day; "
                "expected keys: time"
            )
            raise ProblemsFound([(("keys",), message)])
        self._names_days_where_tables_have_them()
        return self

    def _names_days_where_tables_have_them(self) -> None:
        why = "keys: time" if self.keys == "time" else f"{', '.join(self.only_now)} `knows: now`"
        problems: list[tuple[Location, str]] = [
            (
                ("tables", name, "partition"),
                f"a partition is a day's, and the snapshots are named by times ({why})",
            )
            for name, source in (self.tables or {}).items()
            if source.partition is not None and not self.names_days
        ]
        if problems:
            raise ProblemsFound(problems)

    @property
    def source(self) -> SnapshotSource | None:
        """What is read; None where it is the tables of a database."""
        return self._source

    @property
    def table_names(self) -> Sequence[TableName]:
        """The tables of a snapshot, in the order in which they are read."""
        return list(self.tables or ()) if self._source is None else self._source.tables

    @property
    def only_now(self) -> Sequence[TableName]:
        """The tables that know only the present."""
        if self._source is not None:
            return self._source.knows_only_now
        return [name for name, each in (self.tables or {}).items() if each.knows == "now"]

    @property
    def knows_only_now(self) -> bool:
        """Whether a table knows only the present, so that the snapshot as a whole does."""
        return bool(self.only_now)

    @property
    def names_days(self) -> bool:
        """Whether the snapshots' keys are dates."""
        return self.keys == "date" and not self.knows_only_now

    def start_instant(self, zone: ZoneInfo) -> datetime:
        """Return ``start`` as an instant in UTC; a date is its midnight in ``zone``."""
        return start_instant(self.start, zone)


def _unknown_key(name: str, sources: Sequence[str]) -> tuple[Location, str]:
    allowed = [*Take.model_fields, *sources]
    message = f"unknown key {name!r}; allowed: {', '.join(allowed)}" + did_you_mean(name, allowed)
    return (name,), message


def _source(name: str, fields: Any, info: ValidationInfo) -> SnapshotSource:
    """Return a source from what stands below its name.

    Raises ProblemsFound where its class cannot be imported, or the fields are wrong.
    """
    try:
        source = take_source_class(name)
    except (ImportError, AttributeError) as error:
        message = f"the source {name!r} cannot be loaded: {error}"
        raise ProblemsFound([((name,), message)]) from None
    field: dict[str, Any] = {name: (source, ...)}
    model = create_model("Take", __base__=Definition, **field)
    try:
        instance = model.model_validate({name: fields}, context=info.context)
    except ValidationError as error:
        raise ProblemsFound(described(error, model, {name: fields})) from None
    result: SnapshotSource = getattr(instance, name)
    return result
