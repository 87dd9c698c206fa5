"""What OpenLineage is told of a task, where its provider for Airflow is installed.

The provider asks a task that has ended for ``get_openlineage_facets_on_complete``, in a process of
its own that must open no ledger: so a task puts its lineage down while it works.

Followed:
    https://airflow.apache.org/docs/apache-airflow-providers-openlineage/stable/guides/developer.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import Dataset as Told

    from segue.directory.take_definition import Take
    from segue.runs.lineage import Dataset, Lineage

log = logging.getLogger(__name__)


class TellsLineage:
    """A part of operators whose tasks read or write data; ``lineage`` is None until they have."""

    lineage: Lineage | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """Return what the task read and wrote: places of data, and no contacts."""
        if self.lineage is None:
            return None
        from airflow.providers.openlineage.extractors import OperatorLineage

        return OperatorLineage(
            inputs=list(map(_told, self.lineage.inputs)),
            outputs=list(map(_told, self.lineage.outputs)),
        )


def _told(dataset: Dataset) -> Told:
    from openlineage.client.event_v2 import Dataset as Told
    from openlineage.client.facet_v2 import dataset_version_dataset

    version = dataset.version
    facet = dataset_version_dataset.DatasetVersionDatasetFacet
    facets = {"version": facet(datasetVersion=version)} if version else {}
    return Told(dataset.namespace, dataset.name, facets=facets)


def is_told() -> bool:
    """Tell whether OpenLineage's provider is installed, and has somewhere to tell it to."""
    if find_spec("airflow.providers.openlineage") is None:
        return False
    from airflow.providers.openlineage.conf import is_disabled

    return not is_disabled()


def tables_read(take: Take) -> list[Dataset]:
    """Return the tables that a take's queries read, as far as its database's hook can tell.

    What goes wrong is said in the task's log, and of no consequence: the snapshot is there. Where
    OpenLineage is told nothing, nothing is asked.
    """
    if take.source is not None or not is_told():
        return []
    try:
        return list(dict.fromkeys(_tables_read(take)))
    except Exception as error:  # noqa: BLE001 - whatever a hook or a parser of others raises
        log.warning("OpenLineage is not told which tables were read (%s)", type(error).__name__)
        return []


def _tables_read(take: Take) -> Iterator[Dataset]:
    from airflow.providers.openlineage.sqlparser import SQLParser

    from segue.runs.lineage import Dataset

    assert take.connection is not None
    connection = BaseHook.get_connection(take.connection)
    hook: Any = BaseHook.get_hook(take.connection)
    info = hook.get_openlineage_database_info(connection)
    if info is None:  # a database that has no name there
        return
    parser = SQLParser(
        dialect=hook.get_openlineage_database_dialect(connection),
        default_schema=hook.get_openlineage_default_schema(),
    )
    meta = parser.parse(list(_queries(take)))
    if meta is None:
        return
    namespace = parser.create_namespace(info)
    inputs, _ = parser.get_metadata_from_parser(meta.in_tables, [], info, namespace)
    for table in inputs:
        yield Dataset(table.namespace, table.name)


def _queries(take: Take) -> Iterable[str]:
    for source in (take.tables or {}).values():
        if source.sql is None:
            yield f"SELECT * FROM {source.table}"  # noqa: S608 - for a parser, and no database
        else:
            yield source.sql_with(dict.fromkeys(source.parameters, "NULL"))
