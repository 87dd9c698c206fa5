"""Tables that keep their own days: partitions by day, and rows with the times they are valid in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from segue.directory.definition import DirectoryDefinition
from segue.directory.take_definition import TableSource
from segue.durations import localize
from segue.errors import DataError, SettingsError
from segue.takes.moments import Moment
from segue.takes.reader import DatabaseReader, TakeReader

_DAY = timedelta(days=1)


def table_query(source: TableSource, day: str, as_of: str, quote: Callable[[str], str]) -> str:
    """Return the query of a table: whole, one day's partition, or the rows valid at an instant.

    ``as_of`` is what stands for the instant in SQL. It is the first that the snapshot does not
    know: a row that ends at it is valid still, and the one that begins at it is not yet.
    """
    whole = f"SELECT * FROM {_table(source, quote)}"  # noqa: S608 - quoted
    if source.partition is not None:  # the literal has no type: it is the column's, date or text
        return f"{whole} WHERE {quote(source.partition)} = '{day}'"
    if source.valid_from is not None:
        assert source.valid_to is not None
        begin, end = quote(source.valid_from), quote(source.valid_to)
        return f"{whole} WHERE {begin} < {as_of} AND ({end} IS NULL OR {end} >= {as_of})"
    return whole


def refuse_unknown_day(reader: DatabaseReader, source: TableSource, moment: Moment) -> None:
    """Raise DataError where a table that gave no rows does not know the day, as far as it tells."""
    if source.partition is not None:
        days = sorted(_days(reader, source))
        span = "it has none"
        if days:
            span = f"it has {len(days)}, from {days[0]} to {days[-1]}"
        raise DataError(
            f"{source.table} has no row whose {source.partition} is {moment.key}: the partition of "
            f"that day is not there, not filled yet, or kept no longer ({span}); nothing is "
            "published"
        )
    if source.valid_from is not None:
        first = _first_instant(reader, source)
        if first is None or moment.as_of <= first:
            span = "has no row" if first is None else f"begins at {first:%Y-%m-%dT%H:%M:%SZ}"
            raise DataError(
                f"{source.table} does not know {moment.key}: its {source.valid_from} {span}; "
                "nothing is published"
            )


def days_at_source(reader: TakeReader, directory: DirectoryDefinition, now: datetime) -> list[date]:
    """Return the days that all tables that keep their own still know and that are over, sorted.

    Raises SettingsError where none keeps any: what a query knows only it can tell.
    """
    take, zone = directory.take, directory.zone
    assert take is not None
    own = [each for each in (take.tables or {}).values() if each.keeps_days]
    if not own or not take.names_days or not isinstance(reader, DatabaseReader):
        raise SettingsError(
            f"directory {directory.directory}: no table of `take` keeps its own days (`partition`, "
            "or `valid_from` and `valid_to`): which ones its source knows cannot be asked"
        )
    last = now.astimezone(zone).date() - _DAY
    partitions = [set(_days(reader, each)) for each in own if each.partition is not None]
    instants = [_first_instant(reader, each) for each in own if each.valid_from is not None]
    if None in instants:
        return []
    first = max((each for each in instants if each is not None), default=None)
    if partitions:
        days = sorted(set.intersection(*partitions))
    else:
        assert first is not None
        begin = first.astimezone(zone).date() - _DAY
        days = [begin + _DAY * number for number in range((last - begin).days + 1)]
    return [day for day in days if day <= last and (first is None or _as_of(day, zone) > first)]


def _as_of(day: date, zone: ZoneInfo) -> datetime:
    return localize(datetime.combine(day + _DAY, datetime.min.time()), zone)


def _table(source: TableSource, quote: Callable[[str], str]) -> str:
    assert source.table is not None
    return ".".join(map(quote, source.table.split(".")))


def _days(reader: DatabaseReader, source: TableSource) -> Iterator[date]:
    """Yield the days that a table has partitions of; what is no day is none."""
    assert source.partition is not None
    column = reader.quote(source.partition)
    query = f"SELECT DISTINCT {column} FROM {_table(source, reader.quote)}"  # noqa: S608 - quoted
    for value in reader.values(query):
        if isinstance(value, datetime):
            yield value.date()
        elif isinstance(value, date):
            yield value
        elif isinstance(value, str) and len(value) == len("2026-11-22"):
            try:
                yield date.fromisoformat(value)
            except ValueError:
                continue


def _first_instant(reader: DatabaseReader, source: TableSource) -> datetime | None:
    """Return when a table's first row begins to be valid; without a zone it is UTC."""
    assert source.valid_from is not None
    column = reader.quote(source.valid_from)
    query = f"SELECT MIN({column}) FROM {_table(source, reader.quote)}"  # noqa: S608 - quoted
    values: Sequence[object] = reader.values(query)
    value = values[0] if values else None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise DataError(f"{source.table}: its {source.valid_from} is no time") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, datetime.min.time())
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
