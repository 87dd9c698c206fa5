"""Definitions behind links, as git-sync and Kubernetes have them: swapped at any moment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segue.settings import Settings
from segue.workflows.catalog import Catalog, catalog_of
from segue.workflows.files import definition_files
from segue.workflows.validation import find_problems

PARTS = {
    "directories/people": "directory: people\nsnapshots: ../snapshots/people\n",
    "segments/gold": "segment: gold\ndirectory: people\nmatch: {field: tier, equals: gold}\n",
    "workflows/welcome": """\
workflow: welcome
segment: gold
changes: [added]
schedule: "0 6 * * *"
start: 2026-11-01
actions:
  - id: mail
    email: {subject: VERSION, text: {file: hello.txt}, attachments: [terms.txt]}
""",
}


def version(folder: Path, name: str) -> Path:
    """A checkout of the definitions, whose texts say which one it is."""
    for part, text in PARTS.items():
        path = folder / "include" / f"{part}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("VERSION", name))
    for part in ("templates/hello.txt", "attachments/terms.txt"):
        path = folder / "include" / part
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name} {{% include 'foot.txt' %}}" if "hello" in part else name)
    (folder / "include/templates/foot.txt").write_text(f"foot of {name}")
    return folder


def swap(link: Path, target: Path) -> None:
    """Let a link lead elsewhere, at once, as git-sync does."""
    link.with_name("next").symlink_to(target)
    link.with_name("next").replace(link)


@pytest.fixture
def synced(tmp_path: Path) -> Path:
    """What git-sync keeps: a link to a hidden checkout."""
    version(tmp_path / ".worktrees/a", "one")
    (tmp_path / "current").symlink_to(".worktrees/a")
    return tmp_path


def subject(catalog: Catalog) -> str:
    return catalog.workflow("welcome").actions[0].fields["subject"]


def settings(root: Path) -> Settings:
    return Settings.from_environment({"SEGUE_HOME": str(root / "current/include")})


@pytest.mark.parametrize("by_dag_file", [False, True])
def test_definitions_are_of_the_checkout_that_the_link_led_to_when_they_were_asked_for(
    synced, by_dag_file
):
    """All of one checkout: never the segment of one and the workflow of another."""

    def now() -> Settings:
        if not by_dag_file:
            return settings(synced)
        return Settings.from_environment({}, dag_file=str(synced / "current/dags/all.py"))

    before = catalog_of(now())
    assert find_problems(before) == []
    version(synced / ".worktrees/b", "two")
    swap(synced / "current", Path(".worktrees/b"))
    assert [subject(each) for each in (Catalog(before.home), catalog_of(now()))] == ["one", "two"]
    shutil.rmtree(synced / ".worktrees/a")
    assert find_problems(catalog_of(now())) == []


def test_a_checkout_that_goes_away_under_a_task_is_no_contacts_failure(synced):
    """The pass ends, and the task's next try reads the new one: nobody is failed for good."""
    from segue.channels.email.attachments import read_all
    from segue.contracts.templates import render
    from segue.errors import ConnectionFailure, TemplateAway

    channel = catalog_of(settings(synced)).resolve("welcome").channels["mail"]
    shutil.rmtree(synced / ".worktrees/a")
    with pytest.raises(ConnectionFailure, match=r"attachment 'terms.txt'"):
        read_all(channel.attachments)
    with pytest.raises(TemplateAway, match=r"foot.txt"):
        render(channel.text, {"contact": {}})


def test_the_files_of_a_mounted_configmap_are_each_there_once(tmp_path):
    """Kubernetes mounts links to the files of a hidden folder, and swaps that."""
    version(tmp_path, "one")
    for folder in ("directories", "segments", "workflows"):
        place = tmp_path / "include" / folder
        hidden = place / "..2026_11_30_06_00"
        hidden.mkdir()
        (place / "..data").symlink_to(hidden.name)
        for path in list(place.glob("*.yaml")):
            path.rename(hidden / path.name)
            path.symlink_to(f"..data/{path.name}")
    catalog = Catalog(tmp_path / "include")
    assert find_problems(catalog) == []
    assert subject(catalog) == "one"


def test_a_folder_behind_a_link_is_read_and_a_circle_of_links_ends(tmp_path):
    version(tmp_path, "one")
    workflows = tmp_path / "include/workflows"
    shared = tmp_path / "shared"
    shared.mkdir()
    (workflows / "welcome.yaml").rename(shared / "welcome.yaml")
    (workflows / "team").symlink_to(shared)
    (shared / "again").symlink_to(workflows)
    assert [path.name for path in definition_files(workflows)] == ["welcome.yaml"]
    assert find_problems(Catalog(tmp_path / "include")) == []
    (workflows / "team").unlink()
    assert definition_files(workflows) == []
