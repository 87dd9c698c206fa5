"""``segue test``: hold segments and workflows against the examples beside them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import (
    Format,
    console,
    count,
    json_of,
    note,
    plain,
    print_csv,
    print_error,
    print_json_array,
    where,
    working,
)
from segue.documents import did_you_mean, format_location
from segue.errors import DataError, DefinitionError, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from segue.cli.workspace import Workspace
    from segue.documents import Document
    from segue.errors import Problem
    from segue.preview.examples import Difference, Held, Verdict
    from segue.workflows.catalog import Catalog

_HeldBy: TypeAlias = "Callable[[str], Held]"  # by directory
_FAILED, _INVALID = 1, 2
_KINDS = {"segments": "segment", "workflows": "workflow"}
_CSV = ("kind", "name", "example", "passed", "file", "line", "path", "expected", "found")


@dataclass(frozen=True)
class _Judged:
    """One example of one definition."""

    kind: str
    name: str
    document: Document
    index: int
    verdict: Verdict

    @property
    def problems(self) -> list[tuple[Problem, Difference | None]]:
        """What is wrong, each with its place in the file."""
        location = ("tests", self.index)
        if self.verdict.error is not None:
            return [(self.document.problem(location, self.verdict.error), None)]
        return [
            (
                self.document.problem((*location, *each.location), format_location(each.location)),
                each,
            )
            for each in self.verdict.differences
        ]


@dataclass(frozen=True)
class _Outcome:
    """The examples in order, the definitions without one, and what is wrong with others."""

    judged: Sequence[_Judged]
    without: Sequence[str]
    invalid: Sequence[Problem]


def run_examples(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Segments and workflows; all by default."),
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Hold segments and workflows against their examples: the `tests:` beside them.

    Exit code 1 when an example fails, 2 when a definition is wrong. Sends nothing, and needs no
    snapshot; where there is one, the values of examples must be of the kinds in its columns.
    """
    from segue.cli.workspace import Workspace

    workspace = Workspace.open(home)
    catalog = workspace.catalog
    definitions = _wanted(catalog, names or [])
    with working("Testing"), TemporaryDirectory(prefix="segue-test-") as folder:
        outcome = _judge_all(catalog, definitions, Path(folder), cache(partial(_held, workspace)))
    _PRINTERS[output](outcome.judged)
    _note_summary(outcome)
    if outcome.invalid:
        print_error(str(DefinitionError(outcome.invalid)))
        raise typer.Exit(_INVALID)
    if not all(each.verdict.passed for each in outcome.judged):
        raise typer.Exit(_FAILED)


def _wanted(catalog: Catalog, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return (folder, name) of what is asked for; a name may be a segment's and a workflow's."""
    definitions = [(folder, name) for folder in _KINDS for name in catalog.names(folder)]
    choices = sorted({name for _, name in definitions})
    for name in names:
        if name not in choices:
            hint = did_you_mean(name, choices)
            raise SettingsError(
                f"there is no segment or workflow {name!r}; allowed: {', '.join(choices)}{hint}"
            )
    return [(folder, name) for folder, name in definitions if not names or name in names]


def _held(workspace: Workspace, directory: str) -> Held:
    """Return what the newest snapshot of a directory holds; nothing where none can be read."""
    from segue.directory.tables import SnapshotTables
    from segue.preview.examples import Held
    from segue.segments.fitness import kinds_of

    try:
        definition = workspace.catalog.directory(directory)
        complete = workspace.complete_snapshots(definition)
        return Held(complete[-1].key, kinds_of(SnapshotTables(definition, complete[-1])))
    except (DataError, IndexError):
        return Held()


def _judge_all(
    catalog: Catalog, wanted: Sequence[tuple[str, str]], folder: Path, held: _HeldBy
) -> _Outcome:
    judgements: list[_Judged] = []
    untested_names: list[str] = []
    invalid: list[Problem] = []
    for kind, name in wanted:
        try:
            verdicts = list(_verdicts(catalog, kind, name, folder, held))
        except DefinitionError as error:
            invalid += error.problems
            continue
        document = catalog.document(kind, name)
        judgements += [
            _Judged(_KINDS[kind], name, document, index, verdict)
            for index, verdict in enumerate(verdicts)
        ]
        if not verdicts:
            untested_names.append(name)
    return _Outcome(judgements, untested_names, list(dict.fromkeys(invalid)))


def _verdicts(
    catalog: Catalog, kind: str, name: str, folder: Path, held: _HeldBy
) -> Iterator[Verdict]:
    """Judge the examples of one definition, each in a folder of its own."""
    from segue.preview.examples import judge_segment_example, judge_workflow_example

    def empty(index: int) -> Path:
        path = folder / kind / name / str(index)
        path.mkdir(parents=True)
        return path

    if kind == "segments":
        segment = catalog.segment(name)
        directory = catalog.directory(segment.directory)
        for index, example in enumerate(segment.tests):
            own = held(segment.directory)
            yield judge_segment_example(segment, directory, example, empty(index), own)
    else:
        resolved = catalog.resolve(name)
        for index, case in enumerate(resolved.definition.tests):
            own = held(resolved.directory.directory)
            yield judge_workflow_example(resolved, case, empty(index), own)


def _print_blocks(judged: Sequence[_Judged]) -> None:
    from rich.text import Text

    screen = console()
    last = None
    for each in judged:
        if (each.kind, each.name) != last:
            last = (each.kind, each.name)
            screen.print(Text.assemble((each.kind, "dim"), " ", (each.name, "bold")))
        mark = ("✓", "green") if each.verdict.passed else ("✗", "red")
        screen.print(Text.assemble("  ", mark, f" {plain(each.verdict.example.name)}"))
        for problem, difference in each.problems:
            _print_problem(screen, problem, difference)
        if each.verdict.explanation is not None:
            _print_explanation(screen, each.verdict)


def _print_problem(out: Console, problem: Problem, difference: Difference | None) -> None:
    place = f"{where(problem)}:{problem.line}:{problem.column}"
    out.print(f"    {plain(place)}: {plain(problem.message)}", style="red", soft_wrap=True)
    if difference is not None:
        for line in _compared(difference.expected, difference.found):
            color = {"-": "red", "+": "green"}.get(line[0], "dim")
            out.print(f"      {plain(line)}", style=color, soft_wrap=True)


def _compared(expected: Any, found: Any) -> Iterator[str]:
    """Yield what is expected after ``-`` and what was found after ``+``; texts line by line."""
    texts = [value for value in (expected, found) if isinstance(value, str)]
    if len(texts) == 2 and any("\n" in text.rstrip("\n") for text in texts):
        expectation, actual = (text.rstrip("\n").split("\n") for text in texts)
        yield from (line for line in difflib.ndiff(expectation, actual) if line[0] != "?")
        return
    yield f"- expected: {_one_line(expected)}"
    yield f"+ found:    {_one_line(found)}"


def _one_line(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else value if isinstance(value, str) else json_of(value)


def _print_explanation(out: Console, verdict: Verdict) -> None:
    from rich.padding import Padding

    from segue.cli.commands.explain import drawn

    assert verdict.explanation is not None
    out.print(Padding(drawn(verdict.explanation), (0, 0, 0, 6), expand=False))


def _print_json(judged: Sequence[_Judged]) -> None:
    print_json_array(
        {
            "kind": each.kind,
            "name": each.name,
            "example": each.verdict.example.name,
            "passed": each.verdict.passed,
            "file": where(each.document.problem((), "")),
            "line": each.document.problem(("tests", each.index), "").line,
            "error": each.verdict.error,
            "differences": [
                {
                    "path": format_location(difference.location),
                    "line": problem.line,
                    "column": problem.column,
                    "expected": difference.expected,
                    "found": difference.found,
                }
                for problem, difference in each.problems
                if difference is not None
            ],
        }
        for each in judged
    )


def _print_csv(judged: Sequence[_Judged]) -> None:
    print_csv(_CSV, (row for each in judged for row in _csv_rows(each)))


def _csv_rows(each: _Judged) -> Iterator[list[Any]]:
    """Yield a row per difference, or one where there is none."""
    facts = [each.kind, each.name, each.verdict.example.name, each.verdict.passed]
    start = each.document.problem(("tests", each.index), "")
    if not each.problems:
        yield [*facts, where(start), start.line, "", None, None]
    for problem, difference in each.problems:
        place = [*facts, where(problem), problem.line]
        if difference is None:
            yield [*place, "", None, problem.message]
        else:
            yield [*place, problem.message, difference.expected, difference.found]


def _note_summary(outcome: _Outcome) -> None:
    passes = sum(each.verdict.passed for each in outcome.judged)
    failures = len(outcome.judged) - passes
    note(f"{count(len(outcome.judged), 'example')}: {passes:,} passed, {failures:,} failed")
    if outcome.without:
        note(f"without examples: {', '.join(outcome.without)}")


_PRINTERS = {Format.TABLE: _print_blocks, Format.CSV: _print_csv, Format.JSON: _print_json}
