"""docs/project-settings.md is one project: its definitions are sound, its commands print that."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from segue.sample.generator import keep_up
from segue.workflows.catalog import Catalog
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.project import INHERITABLE, Profile
from segue.workflows.validation import find_problems
from tests.unit.test_docs import INCLUDE, SAMPLE_ENDS, blocks_of, lines_of, page, rows_of, walk

PAGE = page("project-settings.md")
BLOCKS = list(blocks_of(PAGE))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The page's files, by the comment that each begins with, beside those of include/."""
    home = tmp_path_factory.mktemp("page") / "include"
    shutil.copytree(INCLUDE, home, ignore=shutil.ignore_patterns("sample"))
    for block in BLOCKS:
        if block.language == "yaml":
            path = home.parent / re.match(r"# (\S+)\n", block.text)[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    keep_up(home / "sample/customers", SAMPLE_ENDS)
    return home


@pytest.mark.parametrize("profile", [None, "dev", "prod"])
def test_the_project_is_sound_under_each_profile(home, profile):
    assert find_problems(Catalog(home, profile=profile)) == []


def test_the_workflow_is_what_the_page_says(home):
    greet = Catalog(home).resolve("greet_valuable")
    guard = greet.definition.guard
    assert (guard.at_most, guard.floor, guard.share) == (500, 25, None)
    fields = greet.definition.action("tell").fields
    text = "{{ contact.contact_id }} became valuable"
    assert fields == {"channel": "#sales-test", "text": text}
    prod = Catalog(home, profile="prod").resolve("greet_valuable")
    assert prod.definition.retries == 40
    assert prod.definition.action("tell").fields["channel"] == "#sales"


CONSOLE = "\n".join(block.text for block in BLOCKS if block.language == "console")


@pytest.mark.parametrize("part", re.split(r"(?m)^\$ ", CONSOLE)[1:])
def test_a_command_prints_what_is_shown(home, part, monkeypatch, capsys):
    line, _, shown = part.partition("\n")
    monkeypatch.setenv("SEGUE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    command, rest = walk(line.split()[1:])
    with suppress(typer.Exit):
        command.main(rest, standalone_mode=False)
    printed = capsys.readouterr()
    text = (printed.out + printed.err).replace(str(home), "/opt/segue/include")
    assert lines_of(text) == lines_of(shown)


def test_the_page_lists_what_cannot_be_inherited_and_the_keys_of_a_profile():
    text = PAGE.read_text()
    sentence = re.search(r"(?s)Any key of a workflow may stand there but (.*?)\.", text)[1]
    own = set(WorkflowDefinition.model_fields) - set(INHERITABLE)
    assert set(re.findall(r"`(\w+)`", sentence)) == own
    assert list(rows_of("project-settings.md", "Profiles")) == list(Profile.model_fields)
