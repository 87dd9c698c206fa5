"""A folder of definitions that tests write, over two snapshots."""

from __future__ import annotations

from pathlib import Path

from segue.errors import DefinitionError
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.validation import find_problems

DIRECTORY = "directory: people\nsnapshots: ../../snapshots\ncomplete_marker: _SUCCESS\n"
SEGMENT = "segment: gold\ndirectory: people\nmatch: {field: tier, equals: gold}\n"
WORKFLOW = """\
workflow: greet
segment: gold
changes: [added]
start: 2026-11-01
actions:
  - id: tell
    slack_message: {channel: "#gold", text: "{{ contact.contact_id }} is gold"}
"""


class Home:
    """Files below ``folder``; each is written whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("directories/people.yaml", DIRECTORY)
        self.write("segments/gold.yaml", SEGMENT)
        self.write("workflows/greet.yaml", WORKFLOW)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def settings(self, text: str) -> None:
        self.write("segue.yaml", text)

    def catalog(self, profile: str | None = None, namespace: str | None = None) -> Catalog:
        return Catalog(self.folder, profile=profile, namespace=namespace)

    def resolved(self, profile: str | None = None) -> ResolvedWorkflow:
        return self.catalog(profile).resolve("greet")

    def problems(self, profile: str | None = None) -> list[str]:
        """Everything that is wrong, with files as they are called below the folder."""
        return [self._named(str(each)) for each in find_problems(self.catalog(profile))]

    def error(self, profile: str | None = None, namespace: str | None = None) -> str:
        """What the workflow ends with."""
        try:
            self.catalog(profile, namespace).resolve("greet")
        except DefinitionError as error:
            return self._named(str(error))
        raise AssertionError("the workflow is sound")

    def _named(self, text: str) -> str:
        return text.replace(f"{self.folder}/", "")
