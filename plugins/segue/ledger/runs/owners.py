"""Which project a workflow is of: what one project's DAGs own, no other's take up.

A workflow that no project has named itself for is anybody's: the first named project whose run
begins takes it over, with its quarantines. From then on it changes hands by a person's word alone.
"""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, Connection, case, func, literal, select, update

from segue.documents import full_name
from segue.errors import RunHalted
from segue.ledger.base import LedgerDatabase
from segue.ledger.schema import definitions, quarantines, spans, workflows


class Owners(LedgerDatabase):
    """The project of each workflow; ``""`` is the one that has no name."""

    def claim(self, workflow: str, project: str) -> None:
        """Make a workflow this project's, where it is nobody's; raise RunHalted as below."""
        if self.owner_of(workflow) == project:
            return
        with self._write() as connection:
            self._lock_workflow(connection, workflow)
            owner = self._owner(connection, workflow)
            if not owner:
                self._hand_over(connection, workflow, project)
        self.require_owner(workflow, project)

    def require_owner(self, workflow: str, project: str) -> None:
        """Raise RunHalted where a workflow is another project's."""
        owner = self.owner_of(workflow)
        if owner not in ("", project):
            name = f"the project {project}" if project else "definitions without a project"
            raise RunHalted(
                f"the workflow {workflow} is the project {owner}'s, and this DAG is built from "
                f"{name}. Two projects cannot have a workflow of one name: both would be one DAG, "
                "and one memory. Rename this one; or, if the workflow was moved here: "
                f"segue projects move {workflow} --to {project or '-'}"
            )

    def move(self, workflow: str, project: str) -> str:
        """Make a workflow this project's, whosever it was; returns whose it was."""
        with self._write() as connection:
            self._lock_workflow(connection, workflow)
            owner = self._owner(connection, workflow)
            self._hand_over(connection, workflow, project)
            return owner

    def owner_of(self, workflow: str) -> str:
        """Return the project of a workflow; ``""`` too where the ledger does not know it."""
        with self._read() as connection:
            return self._owner(connection, workflow)

    def owners(self) -> dict[str, str]:
        """Return the project of each workflow that the ledger knows."""
        query = select(workflows.c.workflow, workflows.c.project).where(
            workflows.c.namespace == self.namespace
        )
        with self._read() as connection:
            return {row.workflow: row.project for row in connection.execute(query)}

    def _owner(self, connection: Connection, workflow: str) -> str:
        query = select(workflows.c.project).filter_by(namespace=self.namespace, workflow=workflow)
        return str(connection.execute(query).scalar_one_or_none() or "")

    def _directory_of(self, connection: Connection, workflow: str, definition: str) -> str:
        """Return the full name of the directory in a workflow's recorded definition."""
        return full_name(directory_of(definition), self._owner(connection, workflow))

    def _hand_over(self, connection: Connection, workflow: str, project: str) -> None:
        """Change the project; quarantines hold for the workflow's directories as before."""
        bodies = (
            select(definitions.c.body)
            .join(spans, spans.c.definition == definitions.c.hash)
            .where(spans.c.namespace == self.namespace, spans.c.workflow == workflow)
        )
        owner = self._owner(connection, workflow)
        names = {directory_of(body) for body in connection.execute(bodies.distinct()).scalars()}
        for name in sorted(names):
            self._copy_quarantines(connection, full_name(name, owner), full_name(name, project))
        mine = workflows.c.namespace == self.namespace, workflows.c.workflow == workflow
        connection.execute(update(workflows).where(*mine).values(project=project))

    def _copy_quarantines(self, connection: Connection, before: str, after: str) -> None:
        table = quarantines.c
        columns = (table.namespace, table.key, table.reason, table.added_by, table.added_at)
        rows = select(literal(after), *columns).where(
            table.namespace == self.namespace, table.directory == before
        )
        names = ["directory", *(column.name for column in columns)]
        insert = self._insert(quarantines).from_select(names, rows)
        connection.execute(insert.on_conflict_do_nothing())


def full_segment() -> ColumnElement[str]:
    """Return, for a query of spans, the full name of the segment of each."""
    project = (
        select(workflows.c.project)
        .where(workflows.c.namespace == spans.c.namespace, workflows.c.workflow == spans.c.workflow)
        .correlate(spans)
        .scalar_subquery()
    )
    in_full = project + "/" + spans.c.segment
    named = func.coalesce(project, "") != ""
    return case((named, in_full), else_=spans.c.segment).label("segment")


def directory_of(definition: str) -> str:
    """Return the directory's name in a recorded definition, which is canonical JSON."""
    return str(json.loads(definition)["directory"]["directory"])
