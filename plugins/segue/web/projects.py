"""The definitions of every project that this server can read, found by what Airflow knows.

A project's release DAG says in which bundle, and beside which file, its definitions are. Airflow's
own class of the bundle makes a checkout where it needs one, as a worker's does.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from sqlalchemy import select

from segue.directory.definition import DirectoryDefinition
from segue.documents import full_name
from segue.errors import DefinitionError, log_defect
from segue.segments.definition import SegmentDefinition
from segue.settings import Settings, dag_id_of, homes_beside, is_set
from segue.workflows.catalog import Catalog
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow

_RELEASE = dag_id_of("release", "")
_SECONDS = 60  # that a checkout is taken for the newest
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project's release DAG stands."""

    project: str
    bundle: str
    file: str  # below the bundle's root


class _Bundles:
    """The roots of bundles on this machine; those of a repository are brought up to date."""

    def __init__(self) -> None:
        self._roots: dict[str, tuple[float, Path | None]] = {}
        self._lock = threading.Lock()

    def root(self, name: str) -> Path | None:
        """Return where a bundle's files are; None where this server cannot have them.

        While another request is about it, what was there before.
        """
        looked_at, root = self._roots.get(name, (0.0, None))
        is_old = time.monotonic() - looked_at > _SECONDS or not looked_at
        if is_old and self._lock.acquire(blocking=not looked_at):
            try:
                root = _root_of(name)
                self._roots[name] = (time.monotonic(), root)
            finally:
                self._lock.release()
        return root


_bundles = _Bundles()


def _root_of(name: str) -> Path | None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    try:
        bundle = DagBundlesManager().get_bundle(name)  # type: ignore[no-untyped-call]
        bundle.initialize()
        return Path(bundle.path)
    except Exception as error:  # noqa: BLE001 - each kind of bundle has errors of its own
        log_defect(log, error, f"in the DAG bundle {name}, whose definitions no page reads")
        return None


def find_projects(settings: Settings) -> dict[str, Path]:
    """Return the definitions' folder of each project that this server can read, by its name.

    What the settings name goes before what Airflow knows of that project.
    """
    homes = {place.project: home for place in _places() if (home := _home(place)) is not None}
    if is_set("home", os.environ) or settings.project not in homes:
        homes[settings.project] = settings.home
    return dict(sorted(homes.items()))


def _places() -> list[Place]:
    """Return where Airflow found the release DAG of each project."""
    query = select(DagModel.dag_id, DagModel.bundle_name, DagModel.relative_fileloc).where(
        DagModel.dag_id.startswith(_RELEASE, autoescape=True),
        DagModel.is_stale.is_(False),
        DagModel.relative_fileloc.is_not(None),
    )
    with create_session() as session:
        rows = session.execute(query).all()
    return [
        Place(row.dag_id[len(_RELEASE) + 1 :], row.bundle_name, str(row.relative_fileloc))
        for row in rows
        if row.dag_id == _RELEASE or row.dag_id.startswith(f"{_RELEASE}_")
    ]


def _home(place: Place) -> Path | None:
    root = _bundles.root(place.bundle)
    if root is None:
        return None
    return next((home for home in homes_beside(root / place.file) if home.is_dir()), None)


class AllProjects(Catalog):
    """The definitions of several projects as one: directories and segments by their full names.

    ``owners`` says which project a workflow is of: what another one calls by its name is not it.
    """

    def __init__(self, catalogs: Sequence[Catalog], owners: Mapping[str, str]) -> None:
        super().__init__(catalogs[0].home)
        self._catalogs: Mapping[str, Catalog] = {each.project: each for each in catalogs}
        self._owners = owners

    def names(self, folder: str) -> list[str]:
        """Return the names of all definitions in ``folder``, sorted."""
        if folder == "workflows":
            every = {name for one in self._catalogs.values() for name in one.names(folder)}
            return sorted(name for name in every if self._defining(name) is not None)
        return sorted(
            full_name(name, catalog.project)
            for catalog in self._catalogs.values()
            for name in catalog.names(folder)
        )

    def of(self, workflow: str) -> Catalog:
        """Return the definitions among which a workflow's are, the first where it is nowhere."""
        owner = self._catalogs.get(self._owners.get(workflow, ""))
        return self._defining(workflow) or owner or next(iter(self._catalogs.values()))

    def _defining(self, workflow: str) -> Catalog | None:
        """Return the definitions of a workflow's own project, of any where it is nobody's."""
        owner = self._owners.get(workflow, "")
        every = self._catalogs.values()
        candidates = [one for one in every if owner in ("", one.project)]
        return next((one for one in candidates if workflow in one.names("workflows")), None)

    def _among(self, workflow: str) -> Catalog:
        catalog = self._defining(workflow)
        if catalog is None:
            raise DefinitionError([self._unknown("workflows", workflow)])
        return catalog

    def workflow(self, name: str) -> WorkflowDefinition:
        """Return a workflow; raise DefinitionError when it is missing or wrong."""
        return self._among(name).workflow(name)

    def resolve(self, name: str) -> ResolvedWorkflow:
        """Return a workflow with all it refers to; raise DefinitionError."""
        return self._among(name).resolve(name)

    def build(self, data: Mapping[str, Any], *, is_resolved: bool = False) -> ResolvedWorkflow:
        """Return a recorded workflow among the definitions of its project."""
        return self.of(data["workflow"]).build(data, is_resolved=is_resolved)

    def segment_of(self, workflow: str) -> str:
        """Return the full name of a workflow's segment; raise DefinitionError."""
        return self._among(workflow).segment_of(workflow)

    def segment(self, name: str) -> SegmentDefinition:
        """Return a segment, which names its directory in full; raise DefinitionError."""
        catalog, own = self._split(name)
        definition = catalog.segment(own)
        return definition.model_copy(
            update={"directory": full_name(definition.directory, catalog.project)}
        )

    def directory(self, name: str) -> DirectoryDefinition:
        """Return a directory; raise DefinitionError."""
        catalog, own = self._split(name)
        return catalog.directory(own)

    def location(self, folder: str, name: str) -> Path:
        """Return the file of a definition; raise DefinitionError when there is none."""
        catalog, own = (self._among(name), name) if folder == "workflows" else self._split(name)
        return catalog.location(folder, own)

    def _split(self, name: str) -> tuple[Catalog, str]:
        project, _, own = name.rpartition("/")
        if project not in self._catalogs:
            raise DefinitionError([self._unknown("segments", name)])
        return self._catalogs[project], own
