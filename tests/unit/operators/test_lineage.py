"""What OpenLineage is told of a task, where its provider is there; where it is not, nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.operators import branch, lineage
from segue.runs.lineage import Dataset, Lineage


def test_a_task_that_did_nothing_tells_nothing():
    assert lineage.TellsLineage().get_openlineage_facets_on_complete(None) is None


def test_what_was_read_and_written_is_told():
    """In the provider's own classes."""
    pytest.importorskip(
        "airflow.providers.openlineage", reason="OpenLineage's provider is not installed"
    )
    task = lineage.TellsLineage()
    task.lineage = Lineage([Dataset("file", "/a", "f1")], [Dataset("s3://b", "c")])
    told = task.get_openlineage_facets_on_complete(None)
    [read], [written] = told.inputs, told.outputs
    assert (read.namespace, read.name) == ("file", "/a")
    assert read.facets["version"].datasetVersion == "f1"
    assert (written.namespace, written.name, written.facets) == ("s3://b", "c", {})


@pytest.mark.parametrize(("told", "label"), [(False, "C-4"), (True, "")])
def test_a_branch_has_no_contacts_id_for_a_label_where_airflow_tells_it(monkeypatch, told, label):
    monkeypatch.setattr(branch, "is_told", lambda: told)
    task = SimpleNamespace(branch={"label": "C-4"})
    assert branch._BranchOperator.label.fget(task) == label


def test_a_hook_that_cannot_tell_is_a_line_in_the_log(monkeypatch, caplog):
    """There is no such connection; its snapshot was published before."""
    monkeypatch.setattr(lineage, "is_told", lambda: True)
    take = {"connection": "nowhere", "start": "2026-11-01", "tables": {"contacts": "SELECT :as_of"}}
    content = {"directory": "shop", "snapshots": "/data", "consent": "none", "take": take}
    directory = DirectoryDefinition.model_validate(content)
    assert lineage.tables_read(directory.take) == []
    assert "OpenLineage is not told which tables were read" in caplog.text
