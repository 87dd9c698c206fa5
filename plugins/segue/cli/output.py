"""What commands print: listings as tables, CSV or JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from segue.errors import Problem
    from segue.workflows.resolved import ResolvedWorkflow

_WIDE = 1_000_000  # columns of a pipe or file: nothing there is ever cut or folded
_ROWS_AT_ONCE = 1000
_SLOW_TABLE = 20_000
_BETWEEN = 2  # cells between two columns
_LEAST_LAST = 10  # cells that the last column keeps
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # reverse text
_NEEDS_QUOTES = frozenset('",\r\n')


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def console() -> Console:
    """Return stdout as Rich sees it now."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDE
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def error_console() -> Console:
    """Return stderr as Rich sees it now."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def note(text: str) -> None:
    """Say something beside the result, on stderr and after what stdout has so far."""
    sys.stdout.flush()
    error_console().print(text, style="dim", soft_wrap=True)


def note_live(workflow: ResolvedWorkflow) -> None:
    """Say that nothing is looked up here, where the workflow looks contacts' details up live."""
    if workflow.live is not None:
        note(
            f"not looked up in {workflow.live.name} here, which only Airflow's tasks can: live "
            "fields are what the snapshot has of that name; else conditions take them for missing, "
            "and messages show where they would stand"
        )


def print_error(text: str) -> None:
    """Say on stderr what went wrong."""
    from rich.text import Text

    message = Text.assemble(("Error: ", "bold red"), plain(text, keep="\n"))
    error_console().print(message, soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person on a terminal, unless ``yes`` was said; raise SettingsError elsewhere."""
    import typer

    from segue.errors import SettingsError

    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("nobody can be asked here; add --yes")
    typer.confirm(question, abort=True, err=True)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show on a terminal's stderr that something is being done."""
    with error_console().status(f"{text} …"):  # Rich shows nothing unless it is a terminal
        yield


@contextmanager
def progress(text: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal's stderr; what is given is called after each of the ``steps``."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    screen = error_console()
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    ) as bar:
        task = bar.add_task(plain(text), total=steps)
        yield lambda: bar.advance(task)


class Reference(str):
    """Text that a narrow terminal may cut, such as a vendor's id; everything else is folded."""

    __slots__ = ()


def print_listing(columns: Sequence[str], rows: Iterable[Sequence[Any]], output: Format) -> None:
    """Print rows of values, one per column.

    A table that is too wide for its terminal takes from its last column first.
    """
    if output is Format.CSV:
        print_csv(columns, rows)
    elif output is Format.JSON:
        print_json_array(dict(zip(columns, row, strict=True)) for row in rows)
    else:
        _print_table(columns, [[_cell(value) for value in row] for row in rows])


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a header and one record per row; values with commas, quotes or line breaks quoted."""
    write = sys.stdout.write
    write(",".join(columns) + "\n")
    for row in rows:
        write(",".join([_quoted(text_of(value)) for value in row]) + "\n")


def print_json_array(items: Iterable[Mapping[str, Any]]) -> None:
    """Print a JSON array with one item per line, as it comes."""
    separator = "[\n  "
    for item in items:
        sys.stdout.write(separator + json_of(item))
        separator = ",\n  "
    sys.stdout.write("[]\n" if separator.startswith("[") else "\n]\n")


def json_of(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; instants as ISO 8601 in UTC."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=text_of)


def text_of(value: Any) -> str:
    """Return a value as CSV has it: ``true``, ``2026-11-22T06:00:00Z``, empty where missing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping | list | tuple):
        return json_of(value)
    return str(value)


def shown(value: Any) -> str:
    """Return a value as a table has it: on one line, without control characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return text_of(value).replace(":00Z", "Z")  # to the minute, where that is exact
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return plain(text_of(value))


def plain(text: str, keep: str = "") -> str:
    """Return text with what could steer a terminal, all but ``keep``, shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or not _is_control(character) else _escape(character)
        for character in text
    )


def where(problem: Problem) -> str:
    """Return the file of a problem as one types it here: relative, where it is below."""
    from pathlib import Path

    path = Path(problem.file)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else problem.file


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return ``1 segment`` or ``2,000 segments``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    from rich.cells import cell_len

    if len(rows) > _SLOW_TABLE:
        note(f"{len(rows):,} rows; --format csv prints as many at once")
    natural = [
        max([cell_len(name), *(row[index].cell_len for row in rows)])
        for index, name in enumerate(columns)
    ]
    screen = console()
    widths = fitted(natural, screen.width - _BETWEEN * (len(columns) - 1))
    rest, first = iter(rows), True
    while (batch := list(islice(rest, _ROWS_AT_ONCE))) or first:
        table = _table(columns, widths, header=first)
        for row in batch:
            table.add_row(*row)
        screen.print(table)
        first = False


def _table(columns: Sequence[str], widths: Sequence[int], *, header: bool) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_header=header,
        pad_edge=False,
        padding=(0, _BETWEEN - 1, 0, 0),
    )
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, width=width, overflow="fold")
    return table


def fitted(widths: Sequence[int], available: int) -> list[int]:
    """Return widths of columns that fit: the last gives way, and if that is too much, the widest.

    At least one cell each, even if that does not fit.
    """
    *others, last = widths
    rest = available - sum(others)
    if rest >= min(last, _LEAST_LAST):
        return [*others, min(last, rest)]
    most = max(widths)
    while most > 1 and sum(min(width, most) for width in widths) > available:
        most -= 1
    return [min(width, most) for width in widths]


def _cell(value: Any) -> Text:
    from rich.text import Text

    if isinstance(value, Reference):
        return Text(shown(value), no_wrap=True, overflow="ellipsis")
    return Text(shown(value))


def _quoted(text: str) -> str:
    if _NEEDS_QUOTES.isdisjoint(text):
        return text
    body = text.replace('"', '""')
    return f'"{body}"'


def _is_control(character: str) -> bool:
    # Cc: escape sequences; Cs: half a character; Zl, Zp: breaks
    return character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
