"""Who may see what: Airflow's own auth manager decides, through its interface and nothing else.

Without a login every route answers 401. A workflow is read by whoever may read its DAG; contacts'
fields and rendered messages need the right that ``SEGUE_UI_CONTACTS`` names, that to edit the DAG
by default. An unknown workflow is a 404 only to those who could have read it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, HTTPException

from segue.airflow_compat import conf, of_team, teams_of
from segue.operators.environment import task_settings
from segue.settings import dag_id_of
from segue.web.connections import workflow_owners

Method = Literal["GET", "PUT"]
_READ: Method = "GET"
_EDIT: Method = "PUT"


@dataclass(frozen=True)
class Person:
    """Who is looking, and what Airflow lets them do."""

    user: BaseUser

    @property
    def name(self) -> str:
        """The name that the ledger notes beside what this person does."""
        return self.user.get_name()

    def readable(self, workflows: Collection[str]) -> set[str]:
        """Return those of the workflows whose DAG this person may read."""
        return self._allowed(workflows, _READ)

    def may_read(self, workflow: str) -> bool:
        """Tell whether this person may read the workflow's DAG."""
        return bool(self._allowed([workflow], _READ))

    def may_edit(self, workflow: str) -> bool:
        """Tell whether this person may edit the workflow's DAG, and so act on its deliveries."""
        return bool(self._allowed([workflow], _EDIT))

    def may_see_contacts(self, workflow: str) -> bool:
        """Tell whether this person may see contacts' fields and messages of the workflow."""
        return bool(self.seeing_contacts([workflow]))

    def seeing_contacts(self, workflows: Collection[str]) -> set[str]:
        """Return those of the workflows whose contacts and messages this person may see."""
        right = task_settings().ui_contacts
        if right == "nobody":
            return set()
        return self._allowed(workflows, _READ if right == "read" else _EDIT)

    def _allowed(self, workflows: Collection[str], method: Method) -> set[str]:
        by_team: dict[str | None, set[str]] = {}
        teams = _teams(workflows)
        for name in workflows:
            by_team.setdefault(teams.get(name), set()).add(name)
        manager = get_auth_manager()
        return {
            name
            for team, names in by_team.items()
            for name in manager.filter_authorized_dag_ids(
                dag_ids=names, user=self.user, method=method, **of_team(team)
            )
        }


def _teams(workflows: Collection[str]) -> Mapping[str, str | None]:
    """Return the team of each workflow; of one whose DAG is gone, that of its project's release.

    Where Airflow knows no team, whoever may read anything may read it: another team's history.
    """
    teams = dict(teams_of(workflows))
    if len(teams) == len(workflows) or not conf.getboolean("core", "multi_team", fallback=False):
        return teams
    owners = workflow_owners()
    releases = {
        name: dag_id_of("release", owners[name])
        for name in workflows
        if name in owners and name not in teams
    }
    of_release = teams_of(releases.values())
    return teams | {name: of_release.get(dag_id) for name, dag_id in releases.items()}


def _person(user: GetUserDep) -> Person:
    return Person(user)


Viewer = Annotated[Person, Depends(_person)]


# ``workflow`` is part of the path where the route has it there, else of the query
def _readable(workflow: str, viewer: Viewer) -> str:
    if not viewer.may_read(workflow):
        raise HTTPException(403, f"You may not read the DAG {workflow}.")
    return workflow


def _contacts(workflow: str, viewer: Viewer) -> str:
    _readable(workflow, viewer)
    require_contacts(workflow, viewer)
    return workflow


def require_contacts(workflow: str, viewer: Person) -> None:
    """Raise a 403 that says which right is missing, for contacts' fields and messages."""
    if not viewer.may_see_contacts(workflow):
        raise HTTPException(403, contacts_need(f"Seeing contacts of {workflow}", "its DAG"))


def contacts_need(what: str, dag: str) -> str:
    """Return which right to a ``dag`` that takes, as a sentence; it is a setting's to say."""
    right = task_settings().ui_contacts
    if right == "nobody":
        return f"{what} is nobody's here: SEGUE_UI_CONTACTS is nobody."
    return f"{what} needs the right to {right} {dag} (SEGUE_UI_CONTACTS)."


def require_edit(workflow: str, viewer: Person) -> None:
    """Raise a 403 for whoever may not act on a workflow's deliveries."""
    if not viewer.may_edit(workflow):
        raise HTTPException(403, f"This needs the right to edit the DAG {workflow}.")


def _readable_if_any(viewer: Viewer, workflow: str = "") -> str:
    return _readable(workflow, viewer) if workflow else ""


ReadableWorkflow = Annotated[str, Depends(_readable)]
ReadableIfAny = Annotated[str, Depends(_readable_if_any)]  # empty where no workflow is named
ContactsWorkflow = Annotated[str, Depends(_contacts)]
