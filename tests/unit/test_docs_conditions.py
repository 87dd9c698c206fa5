"""Every example of docs/conditions.md, run over the directory that it describes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segue.documents import parse_document
from segue.segments.conditions import registry
from segue.segments.conditions.registry import operator_names
from segue.segments.definition import SegmentDefinition
from segue.segments.loading import judge, load_population
from segue.workflows.validation import find_problems
from tests.unit.segments.home import Home

PAGE = (Path(__file__).parents[2] / "docs" / "conditions.md").read_text(encoding="utf-8")
BLOCKS = [
    (match[1], match[2], match[3])
    for match in re.finditer(r"```(\w+) ?(\S*)\n(.*?)```", PAGE, re.DOTALL)
]
KEY = "2026-11-22"
EXAMPLES = [
    example.strip()
    for language, name, text in BLOCKS
    if language == "yaml" and not name
    for example in text.split("\n\n")
]
SEGMENTS = {
    name.removeprefix("segments/"): text
    for language, name, text in BLOCKS
    if language == "yaml" and name.startswith("segments/")
}


def expected(text):
    """The contacts behind ``# →``."""
    found = re.search(r"# → (.*)", text)
    assert found, f"no expectation in: {text}"
    return [] if found[1] == "nobody" else found[1].strip().split(", ")


@pytest.fixture
def home(tmp_path):
    """The page's directory and segments."""
    found = Home(tmp_path)
    for language, name, text in BLOCKS:
        if language == "csv":
            found.write(f"{name}.csv" if "/" in name else f"snapshots/{KEY}/{name}.csv", text)
        elif language == "yaml" and name:
            found.define(name, text)
        elif language == "python" and name.endswith(".py"):
            found.write(name, text)
    return found


@pytest.fixture
def operator(monkeypatch):
    """The page's own operator, registered for one test."""
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    [text] = [text for _, name, text in BLOCKS if name == "operator"]
    exec(compile(text, "docs/conditions.md", "exec"), {})


def holds(home, text):
    """The contacts that the condition of an example holds for."""
    match = parse_document(text, "docs/conditions.md").data
    segment = SegmentDefinition(segment="example", directory="customers", match=match)
    regulars = home.catalog.segment("regulars")
    segment = segment.referring_to([regulars])
    population = load_population(segment, home.tables(KEY))
    return population.contacts["contact_id"][judge(segment, population)].tolist()


def test_the_page_has_its_examples():
    assert len(EXAMPLES) > 45
    assert sorted(SEGMENTS) == ["best", "modelled", "regulars"]


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_condition_holds_for_whom_the_page_says(home, operator, text):
    assert holds(home, text) == expected(text)


@pytest.mark.parametrize("name", SEGMENTS)
def test_a_segment_has_the_members_that_the_page_says(home, name):
    assert home.ids(name) == expected(SEGMENTS[name])


def test_the_definitions_of_the_page_are_sound(home):
    tables = home.tables(KEY)
    columns = {name: tables.columns(name) for name in ("contacts", "transactions", "mailing_lists")}
    assert find_problems(home.catalog, {"customers": columns}) == []


def test_every_operator_is_in_the_pages_table():
    table = PAGE.split("| operand |")[1].split("\n\n")[0]
    missing = [name for name in operator_names() if not re.search(rf"`{name}\b", table)]
    assert missing == []
