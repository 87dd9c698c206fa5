"""The pages say what the code does: blocks, commands, links and lists are held against it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from segue.cli.main import app
from segue.contracts.channel import BUILT_IN, channel_class, channel_names
from segue.contracts.live_source import source_class, source_names
from segue.contracts.printing import Kind
from segue.contracts.templates import VARIABLES
from segue.cron import PRESETS
from segue.dag_builder import RUN_PARAMS
from segue.directory.definition import Consent, DirectoryDefinition
from segue.directory.expect_definition import ColumnExpectations, TableExpectations
from segue.directory.lake_definition import Lake
from segue.directory.layout import TABLES
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.directory.take_definition import Take
from segue.documents import parse_document
from segue.ledger.feed_columns import FEED
from segue.ledger.reasons import Reason
from segue.ledger.states import State
from segue.sample.generator import generate, keep_up
from segue.segments.conditions.aggregates import aggregate_names
from segue.segments.conditions.registry import find_operator, operator_names
from segue.segments.definition import ImportedMembership, SegmentDefinition
from segue.segments.examples import SegmentExample
from segue.settings import OPTIONS, variable
from segue.workflows.airflow_settings import ActionSettings, WorkflowSettings
from segue.workflows.catalog import Catalog
from segue.workflows.definition import (
    RESERVED_ACTIONS,
    Action,
    Branches,
    GuardLimits,
    Notify,
    Policies,
    QuietHours,
    ReportRules,
    WorkflowDefinition,
)
from segue.workflows.examples import WorkflowExample
from segue.workflows.validation import find_problems
from tests.channels.cases import CASES
from tests.states import documented

ROOT = Path(__file__).parents[2]
INCLUDE = ROOT / "include"
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in AT_THE_TOP), *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = {"directory": "directories", "segment": "segments", "workflow": "workflows"}
CONDITION_KEYS = {"all", "any", "not", "field", "transactions", "change"}
SHELLS = ("console", "sh", "shell", "bash")
CONNECTION_FIELDS = {"conn_type", "host", "login", "password", "schema", "port", "extra"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, without the indentation they have in a list."""
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = re.match(r"(\s*)```(\S*)", line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence[1], fence[2]), []
        else:
            start, indent, language = opened
            text = "\n".join(text.removeprefix(indent) for text in lines)
            yield Block(page, start, language, text)
            opened = None
    assert opened is None, f"{page.name}: a block is not closed"


def prose_of(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"(?ms)^\s*```.*?^\s*```$", "", page.read_text())


def spans_of(page: Path) -> list[str]:
    """Return the code spans of a page's prose."""
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", prose_of(page))]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def named(*languages: str) -> list[Any]:
    found = [block for block in BLOCKS if block.language in languages]
    return [pytest.param(block, id=str(block)) for block in found]


def page(name: str) -> Path:
    return ROOT / "docs" / name


# ---- YAML -------------------------------------------------------------------------------------


def definition_of(block: Block) -> tuple[str, dict[str, Any]]:
    """Return (kind, whole definition) of a YAML block; a part is put into the rest of one.

    Parts are understood by their keys: of a directory, of a workflow, an action, a condition.
    """
    data = parse_document(block.text, str(block)).data
    assert isinstance(data, dict), f"{block}: not a mapping"
    for kind in ("workflow", "segment", "directory"):
        if kind in data:
            return kind, data
    keys = set(data)
    directory = {"directory": "a_part", "snapshots": "."}
    segment = {"segment": "a_part", "directory": "customers"}
    workflow = {
        "workflow": "a_part",
        "segment": "at_risk",
        "changes": ["added"],
        "start": "2026-11-01",
    }
    alert = {"id": "alert", "slack_message": {"channel": "#a", "text": "{{ change }}"}}
    ticket = {"id": "ticket", "zendesk_ticket": {"subject": "s", "comment": "c"}}
    if "id" in keys:
        before = [ticket] if data.get("after") == "ticket" else []
        return "workflow", {**workflow, "actions": [*before, data]}
    if keys & CONDITION_KEYS and "change" not in keys:
        return "segment", {**segment, "match": data}
    if keys <= set(DirectoryDefinition.model_fields):
        return "directory", {**directory, **data}
    if keys <= set(WorkflowDefinition.model_fields) | {"change"}:
        whole = {"conditions": data} if "change" in keys else data
        return "workflow", {**workflow, "actions": [alert], **whole}
    raise AssertionError(f"{block}: not a definition, nor a part of one: {sorted(keys)}")


@pytest.fixture(scope="module")
def columns(tmp_path_factory) -> Mapping[str, list[str]]:
    """The columns of the sample, for the names of fields in the pages."""
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, first=date(2026, 11, 1), days=1, contacts=1000)
    directory = Catalog(INCLUDE).directory("customers")
    directory = directory.model_copy(update={"snapshots": str(folder)})
    snapshot = list_snapshots(directory, now=datetime.now(UTC))[-1]
    tables = SnapshotTables(directory, snapshot)
    own = {name: tables.columns(name) for name in TABLES}
    return {**own, "contacts": [*own["contacts"], "timezone"]}  # of the example of quiet hours


# conditions.md is one directory, whose examples test_docs_conditions.py runs, project-settings.md
# is one project (test_docs_project_settings.py), kubernetes.md has values of a Helm chart
# (test_docs_site.py), and the channel of adding-a-channel.md is
# installed by its own test.
APART = ("conditions.md", "project-settings.md", "adding-a-channel.md", "kubernetes.md")


@pytest.mark.parametrize(
    "block",
    [found for found in named("yaml", "yml") if found.values[0].page.name not in APART],
)
def test_every_definition_in_the_pages_is_valid(block, columns, tmp_path, monkeypatch):
    """Together with what it refers to: other definitions of its page, else those of include/."""
    a_teams_own = SimpleNamespace(page=print)  # my_package.alerts.page
    monkeypatch.setitem(sys.modules, "my_package.alerts", a_teams_own)
    monkeypatch.setitem(sys.modules, "my_package", SimpleNamespace(alerts=a_teams_own))
    home = tmp_path / "include"
    shutil.copytree(INCLUDE, home, ignore=shutil.ignore_patterns("sample"))
    for other in [found for found in BLOCKS if found.page == block.page] + [block]:
        if other.language in ("yaml", "yml"):
            kind, data = definition_of(other)
            path = home / FOLDERS[kind] / f"{data[kind]}.yaml"
            path.write_text(json.dumps(data, ensure_ascii=False))
            if other == block:
                mine = path
    catalog = Catalog(home)
    directories = dict.fromkeys(catalog.names("directories"), columns)
    problems = [item for item in find_problems(catalog, directories) if item.file == str(mine)]
    assert [str(problem.message) for problem in problems] == [], str(block)


WITH_EXAMPLES = [found for found in named("yaml", "yml") if "\ntests:" in found.values[0].text]


@pytest.mark.parametrize("block", WITH_EXAMPLES)
def test_every_example_in_the_pages_passes(block, tmp_path, capsys):
    """``segue test`` agrees with the ``tests:`` of a definition."""
    kind, data = definition_of(block)
    home = tmp_path / "include"
    shutil.copytree(INCLUDE, home, ignore=shutil.ignore_patterns("sample"))
    path = home / FOLDERS[kind] / f"{data[kind]}.yaml"
    path.write_text(json.dumps(data, ensure_ascii=False))
    command, rest = walk(["test", data[kind], "--home", str(home)])
    code = command.main(rest, standalone_mode=False)
    assert not code, capsys.readouterr()


# ---- JSON: connections ------------------------------------------------------------------------


@pytest.mark.parametrize("block", named("json"))
def test_every_json_block_is_an_airflow_connection(block):
    """Right keys, a type that a channel opens, and an extra that is a mapping."""
    connection = json.loads(block.text)
    assert set(connection) <= CONNECTION_FIELDS
    assert connection["conn_type"] in ("slack", "slackwebhook", "http", "smtp")
    assert isinstance(connection.get("extra", {}), dict)


def test_each_channels_own_connection_is_shown():
    """``slack_default`` and so on, as the environment variable that Airflow reads."""
    text = page("operations.md").read_text()
    for name in channel_names():
        connection = channel_class(name).model_fields["connection"]
        if connection.is_required():  # an API of the team's own
            continue
        default = connection.default
        assert f"AIRFLOW_CONN_{default.upper()}" in text


# ---- commands ---------------------------------------------------------------------------------

COMMANDS = typer.main.get_command(app)


def command_lines(block: Block) -> Iterator[str]:
    """Yield the commands of a shell block; in a ``console`` they are the lines after ``$``."""
    for line in block.text.replace("\\\n", " ").splitlines():
        prompted = line.strip().startswith("$ ")
        if prompted or block.language != "console":
            command = re.sub(r"\s+#.*$", "", line.strip().removeprefix("$ "))
            yield from re.split(r"\s(?:&&|\|\|?|;)\s", command)


def segue_arguments(line: str) -> list[str] | None:
    """Return the arguments of ``segue`` in a command line; None where it is another command."""
    words = shlex.split(line.split(" > ", maxsplit=1)[0])
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:1] and words[0].split("/")[-1] == "segue":
        return words[1:]
    if words[1:3] == ["-m", "segue.cli.main"]:
        return words[3:]
    return None


def walk(arguments: list[str]) -> tuple[Any, list[str]]:
    """Return the command that arguments name, and what is left of them."""
    command: Any = COMMANDS
    rest = list(arguments)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if "list" in command.commands and rest[0] not in command.commands:
            rest.insert(0, "list")
        assert rest[0] in command.commands, f"there is no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    return command, rest


SHELL_COMMANDS = [
    pytest.param(arguments, id=f"{block}-{' '.join(arguments)}")
    for block in BLOCKS
    if block.language in SHELLS
    for line in command_lines(block)
    if (arguments := segue_arguments(line)) is not None
]
MENTIONED = sorted(
    {
        span
        for path in PAGES
        for span in spans_of(path)
        if re.match(r"segue(?: |$)", span) and span != "segue"
    }
)


@pytest.mark.parametrize("arguments", SHELL_COMMANDS)
def test_every_command_shown_can_be_typed(arguments):
    """It exists, has these options, and its required arguments are there."""
    command, rest = walk(arguments)
    with suppress(typer.Exit):  # --help, --version
        command.make_context("segue", rest)


def outputs(block: Block) -> Iterator[tuple[list[str], str]]:
    """Yield each ``segue`` command of a block with what is shown beneath it."""
    for part in re.split(r"(?m)^\$ ", block.text)[1:]:
        line, _, shown = part.partition("\n")
        arguments = segue_arguments(line)
        if arguments is not None and shown.strip():
            yield arguments, shown.strip()


# What needs neither a ledger nor a run: over the sample, whatever the date.
OVER_THE_SAMPLE = ("changes", "explain", "plan", "snapshots", "validate")
SAMPLE_ENDS = date(2026, 11, 14)  # in the pages, which say so
SHOWN = [
    pytest.param(block, arguments, shown, id=f"{block}-{arguments[0]}")
    for block in BLOCKS
    if block.language == "console" and block.page.name in ("README.md", "operations.md")
    for arguments, shown in outputs(block)
    if arguments[0] in OVER_THE_SAMPLE and arguments[1:2] not in (["quarantine"], ["release"])
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """The definitions of include/ and of the front page over the sample of the pages."""
    home = tmp_path_factory.mktemp("shown") / "include"
    shutil.copytree(INCLUDE, home, ignore=shutil.ignore_patterns("sample"))
    keep_up(home / "sample/customers", SAMPLE_ENDS)
    return home


@pytest.mark.parametrize(("block", "arguments", "shown"), SHOWN)
def test_what_a_command_prints_over_the_sample_begins_as_is_shown(
    block, arguments, shown, sample, tmp_path, monkeypatch, capsys
):
    home = tmp_path / "include"
    shutil.copytree(sample, home, copy_function=os.link)
    for other in BLOCKS:
        if other.page.name == block.page.name == "README.md" and other.language == "yaml":
            kind, data = definition_of(other)
            path = home / FOLDERS[kind] / f"{data[kind]}.yaml"
            path.unlink(missing_ok=True)
            path.write_text(json.dumps(data, ensure_ascii=False))
    monkeypatch.setenv("SEGUE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    command, rest = walk(arguments)
    with suppress(typer.Exit):
        command.main(rest, standalone_mode=False)
    printed = capsys.readouterr()
    found = (printed.out + printed.err).replace(str(home), "/opt/segue/include")
    assert lines_of(found)[: len(lines_of(shown))] == lines_of(shown)


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("span", MENTIONED)
def test_every_command_mentioned_exists_with_its_options(span):
    """In prose arguments may be left out."""
    command, rest = walk([word for word in shlex.split(span)[1:] if word != "COMMAND"])
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
    assert {word for word in rest if word.startswith("-")} <= known


# ---- links, paths -----------------------------------------------------------------------------


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose_of(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    pytest.param(path, target, id=f"{path.name}-{target}")
    for path in PAGES
    for target in sorted(set(re.findall(r"\]\(([^)\s]+)\)", prose_of(path))))
    if not re.match(r"[a-z]+:", target)
]


@pytest.mark.parametrize(("path", "target"), LINKS)
def test_every_link_leads_somewhere(path, target):
    name, _, anchor = target.partition("#")
    found = (path.parent / name).resolve() if name else path
    assert found.exists(), f"{path.name}: {target}"
    if anchor:
        assert anchor in anchors_of(found), f"{path.name}: {target}"


MENTION = re.compile(r'([\w/.-]*[\w-]\.md)\b(?:, "([^"\n]+)")?')
SOURCES = [
    *(ROOT / "plugins").rglob("*.py"),
    *(ROOT / "tests").rglob("*.py"),
    *(ROOT / "dags").glob("*.py"),
    *(ROOT / name for name in ("Makefile", "pyproject.toml", ".ci/run", "Dockerfile")),
]


def test_the_code_points_at_pages_that_are_here():
    """``docs/design.md, "Time"`` is a page of the repository with such a heading."""
    pages = {path.name: path for path in ROOT.rglob("*.md") if ".venv" not in path.parts}
    wrong = []
    for source in SOURCES:
        for mention, heading in MENTION.findall(source.read_text()):
            target = pages.get(mention.rsplit("/", 1)[-1])
            headings = re.findall(r"(?m)^#+ (.+)$", target.read_text()) if target else []
            if target is None or (heading and heading not in headings):
                wrong.append(f"{source.relative_to(ROOT)}: {mention} {heading}".strip())
    assert wrong == []


def test_the_design_has_every_state_and_the_diagram_no_step_of_its_own():
    """Nothing leads out of ``delivered``."""
    [diagram] = [block for block in blocks_of(page("design.md")) if block.language == "mermaid"]
    steps = re.findall(r"(?m)^ +(\S+) --> (\S+?):?(?: |$)", diagram.text)
    drawn = {tuple("" if state == "[*]" else state for state in step) for step in steps}
    assert drawn - {("delivered", "")} <= documented()
    assert {state for step in documented() for state in step} == {"", *State}
    assert not [step for step in documented() if step[0] == State.DELIVERED]


def test_every_module_that_architecture_names_exists():
    """Code spans with a slash or a ``.py``, and the folders of the tree."""
    package = ROOT / "plugins" / "segue"
    text = page("architecture.md").read_text()
    spans = [span for span in spans_of(page("architecture.md")) if re.fullmatch(r"[\w/.]+", span)]
    paths = [span for span in spans if "/" in span or span.endswith(".py")]
    tree = next(block for block in blocks_of(page("architecture.md")) if "plugins/" in block.text)
    paths += re.findall(r"\b[a-z_]+(?:/|\.py)(?=\s|,|;|$)", tree.text)
    assert len(paths) > 25
    for path in paths:
        found = [base / path for base in (package, ROOT, ROOT / "plugins")]
        assert any(each.exists() for each in found), path
    for folder in package.iterdir():
        if folder.is_dir() and not folder.name.startswith("_"):
            assert f"{folder.name}/" in text, f"architecture.md leaves out {folder.name}/"


# ---- lists that the code has, too -------------------------------------------------------------


@cache
def rows_of(name: str, heading: str) -> dict[str, str]:
    """Return the table rows below a heading, by the first code span of their first cell."""
    text = page(name).read_text()
    section = re.search(rf"(?ms)^(#+) {re.escape(heading)}$(.*?)(?=^#{{1,2}} |^\1 |\Z)", text)
    assert section is not None, f"{name} has no section {heading!r}"
    found: dict[str, str] = {}
    for line in section[2].splitlines():
        cell = re.match(r"\| (?:`([^`]+)`)", line)
        if cell:
            found.setdefault(cell[1], line)
    return found


def keys_of(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Return the keys that a model has in YAML, with their field's facts."""
    return {f"{prefix}{info.alias or name}": info for name, info in model.model_fields.items()}


def workflow_keys() -> dict[str, Any]:
    parts = {
        "policies": Policies,
        "guard": GuardLimits,
        "notify": Notify,
        "branches": Branches,
        "report": ReportRules,
    }
    return keys_with_parts(WorkflowDefinition, parts)


def keys_with_parts(model: type[BaseModel], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's keys, those of its parts in place of the parts themselves."""
    own = {key: info for key, info in keys_of(model).items() if key not in parts}
    for name, model in parts.items():
        own |= keys_of(model, f"{name}.")
    return own


def allowed(annotation: Any) -> set[str]:
    """Return the texts that a Literal anywhere in an annotation allows."""
    arguments = get_args(annotation)
    texts = {each for each in arguments if isinstance(each, str)}
    return texts.union(*(allowed(each) for each in arguments if not isinstance(each, str)))


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        pytest.param("Directories", keys_of(DirectoryDefinition), id="directories"),
        pytest.param("Take", keys_of(Take), id="take"),
        pytest.param("Lake", keys_of(Lake), id="lake"),
        pytest.param("Expectations", keys_of(TableExpectations), id="expectations"),
        pytest.param(
            "Expectations of a column", keys_of(ColumnExpectations), id="expectations of a column"
        ),
        pytest.param("Consent", keys_of(Consent), id="consent"),
        pytest.param(
            "Segments",
            keys_with_parts(SegmentDefinition, {"imported": ImportedMembership}),
            id="segments",
        ),
        pytest.param("Workflows", workflow_keys(), id="workflows"),
        pytest.param(
            "Airflow's settings",
            {**keys_of(WorkflowSettings), **keys_of(ActionSettings)},
            id="airflow",
        ),
        pytest.param("Quiet hours", keys_of(QuietHours), id="quiet hours"),
        pytest.param(
            "Examples", {**keys_of(SegmentExample), **keys_of(WorkflowExample)}, id="examples"
        ),
    ],
)
def test_the_reference_lists_every_key_with_its_default(heading, keys):
    """Exactly those that the model has; choices, defaults and ``required`` are the model's."""
    rows = rows_of("reference.md", heading)
    assert list(rows) == list(keys)
    for key, info in keys.items():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", rows[key])[1:-1]]
        assert (cells[2] == "required") == info.is_required(), key
        if isinstance(info.default, str | int) or key in ("settle", "policies.max_age"):
            shown = str(info.default)
            shown = shown.lower() if isinstance(info.default, bool) else shown
            assert cells[2] == f"`{shown}`", key
        if key not in (
            "columns",
            "fields",
            "tables",
            "expect",
            "imported.columns",
        ):  # by table, which the page names once
            for choice in allowed(info.annotation):
                assert f"`{choice}`" in cells[1], f"{key}: {choice}"


def test_the_reference_lists_what_an_action_has():
    """``id``, ``after``, ``if`` and the channels with all of their fields."""
    rows = rows_of("reference.md", "Actions")
    own = [key for key in keys_of(Action) if key not in ("channel", "fields")]
    assert list(rows) == [*own, *channel_names()]
    for name in channel_names():
        fields = set(keys_of(channel_class(name)))
        assert set(re.findall(r"`([^`]+)`", rows[name])) == {name, *fields}
    assert all(f"`{name}`" in rows["id"] for name in RESERVED_ACTIONS)
    assert all(f"`{name}`" in rows_of("reference.md", "Workflows")["schedule"] for name in PRESETS)


def rows_at_the_top(name: str) -> dict[str, list[str]]:
    """Return the cells of the table before a page's first section, by channel."""
    top = page(name).read_text().split("\n## ")[0]
    found = re.findall(r"(?m)^\| \[`(\w+)`\]\(#\w+\) \|(.*)\|$", top)
    return {channel: [cell.strip() for cell in row.split("|")] for channel, row in found}


def test_the_channels_page_begins_with_a_row_for_each_channel():
    assert sorted(rows_at_the_top("channels.md")) == sorted(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_channels_row_is_what_its_code_says(name):
    """Fields, required ones in bold; its connection; whether it can be asked; nothing left out."""
    fields, connection, needs, limits, asked, uncertain, who = rows_at_the_top("channels.md")[name]
    keys = {key: info for key, info in keys_of(channel_class(name)).items() if key != "connection"}
    assert re.findall(r"`(\w+)`", fields) == list(keys)
    required = [key for key, info in keys.items() if info.is_required()]
    assert re.findall(r"\*\*`(\w+)`\*\*", fields) == required
    default = channel_class(name).model_fields["connection"].get_default()
    assert connection.startswith(f"`{default}` (" if isinstance(default, str) else "any (")
    assert asked.startswith("yes" if CASES[name].can_be_asked else "no")
    assert all((needs, limits, uncertain, who))


@pytest.mark.parametrize("name", channel_names())
def test_the_channels_page_has_every_field(name):
    """With its default, and what it may be."""
    rows = rows_of("channels.md", name)
    keys = keys_of(channel_class(name))
    assert set(rows) == set(keys)
    for key, info in keys.items():
        _, kind, default, _ = [cell.strip() for cell in rows[key].split("|")[1:-1]]
        assert (default == "required") == info.is_required(), key
        if isinstance(info.default, str):
            assert default == f"`{info.default}`", key
        assert all(f"`{choice}`" in kind for choice in allowed(info.annotation)), key


FOLLOWED = [("channels.md", name) for name in BUILT_IN]
FOLLOWED += [("live-details.md", name) for name in source_names()]


@pytest.mark.parametrize(("name", "heading"), FOLLOWED)
def test_a_section_begins_with_what_it_follows_and_when_that_was_looked_at(name, heading):
    """Pages of vendors change: a date says how far they can be trusted."""
    begin = re.search(rf"(?m)^## {heading}\n\n((?:.+\n)+)", page(name).read_text())
    assert begin is not None
    said = re.fullmatch(
        r"Follows (.+?); last looked at on (\d{4}-\d\d-\d\d)\..*",
        begin[1].replace("\n", " ").strip(),
    )
    assert said is not None, begin[1]
    assert re.search(r"\]\(https://[^)]+\)", said[1])
    assert date(2026, 11, 1) <= date.fromisoformat(said[2]) <= datetime.now(UTC).date()


def test_the_reference_lists_every_operator_once_beside_its_complement():
    section = page("reference.md").read_text().split("### Operators")[1].split("\n- ")[0]
    rows = [line.split("|")[2:4] for line in section.splitlines() if line.startswith("| ")][1:]
    pairs = [re.findall(r"`([a-z_]+)`", "".join(row)) for row in rows]
    listed = [name for pair in pairs for name in pair]
    assert sorted(listed) == sorted(operator_names())
    for pair in pairs:
        assert find_operator(pair[0]).other == (pair[1] if pair[1:] else None)


def test_the_reference_lists_aggregates_variables_kinds_and_parameters():
    conditions = rows_of("reference.md", "Conditions")
    templates = rows_of("reference.md", "Templates")
    assert set(aggregate_names()) <= set(conditions)
    assert list(templates) == [*VARIABLES, *(kind.value for kind in Kind)]
    assert list(rows_of("reference.md", "Parameters of a run")) == list(RUN_PARAMS)


@pytest.mark.parametrize("name", source_names())
def test_the_page_on_live_details_has_every_field(name):
    """At its top, required ones in bold, and in the source's own section with its default."""
    keys = keys_of(source_class(name))
    [row] = re.findall(
        rf"(?m)^\| \[`{name}`\]\(#{name}\) \|([^|]*)\|", page("live-details.md").read_text()
    )
    assert re.findall(r"`(\w+)`", row) == list(keys)
    required = [key for key, info in keys.items() if info.is_required()]
    assert re.findall(r"\*\*`(\w+)`\*\*", row) == required
    rows = rows_of("live-details.md", name)
    assert list(rows) == list(keys)
    for key, info in keys.items():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", rows[key])[1:-1]]
        assert (cells[2] == "required") == info.is_required(), key
        if isinstance(info.default, str):
            assert cells[2] == f"`{info.default}`", key
    assert f"`{name}`" in rows_of("reference.md", "Workflows")["load"]


REASONS = set(Reason)


def test_both_pages_list_every_state_and_reason():
    """operations.md explains them, reference.md names them."""
    section = page("operations.md").read_text().split("## Outcomes and reasons")[1]
    assert set(rows_of("operations.md", "Outcomes and reasons")) == set(State)
    with_reasons = "skipped|held|waiting|suppressed"
    explained = re.findall(rf"(?m)^\| `(?:{with_reasons})` \| `([a-z_]+)` \|", section)
    assert sorted(explained) == sorted(REASONS)
    listed = page("reference.md").read_text().split("## States and reasons")[1].split("##")[0]
    spans = set(re.findall(r"`([a-z_]+)`", listed))
    assert spans == {*State, *REASONS}


def test_the_reference_lists_every_command_with_exactly_its_options():
    rows = rows_of("reference.md", "Command line")
    leaves = {
        " ".join(filter(None, (group, name))): command
        for group, commands in (
            ("", COMMANDS.commands),
            *((name, COMMANDS.commands[name].commands) for name in ("db", "projects", "snapshots")),
        )
        for name, command in commands.items()
        if not hasattr(command, "commands")
    }
    assert set(leaves) == {name for name in rows if not name.isdigit()}
    for name, command in leaves.items():
        options = {text for item in command.params for text in item.opts if text.startswith("--")}
        assert set(re.findall(r"`(--[a-z-]+)`", rows[name])) == options, name


def test_every_setting_is_explained():
    assert set(rows_of("operations.md", "Settings")) == {variable(option) for option in OPTIONS}


def test_the_page_on_watching_has_every_column_that_is_exported():
    """People build on the names, the types and what a row is."""
    for table in FEED.values():
        rows = rows_of("watching.md", table.name)
        assert list(rows) == ["export", *(each.name for each in table.columns)]
        for each in table.columns:
            assert rows[each.name] == f"| `{each.name}` | {each.type} | {each.meaning} |"
    for name in (table.name for table in FEED.values()):
        assert f"`segue_{name}`" in page("watching.md").read_text()
