"""An Airflow DAG by hand whose guard releases nothing, and lets everything behind it run."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, BaseOperator

from segue.dag_builder import RUN_PARAMS, contact_group
from segue.operators import DetectChanges, Report
from segue.settings import Settings
from segue.workflows.catalog import Catalog

workflow = Catalog(Settings.from_environment().home).build(
    {
        "workflow": "guarded",
        "segment": "guarded",
        "changes": ["added"],
        "start": "2026-11-01",
        "policies": {"max_age": None},
        "actions": [
            {
                "id": "ticket",
                "zendesk_ticket": {"subject": "{{ contact.contact_id }}", "comment": "!"},
            },
            {
                "id": "alert",
                "after": "ticket",
                "slack_message": {"channel": "#team", "text": "{{ contact.contact_id }}"},
            },
            {
                "id": "mail",
                "email": {"from": "a@example.com", "subject": "guard1", "text": "guard1"},
            },
        ],
    }
)


class ReleasesNothing(BaseOperator):
    """A guard that succeeds without releasing anything."""

    def execute(self, context):
        return None


with DAG("guarded", schedule=None, start_date=datetime(2026, 11, 1, tzinfo=UTC), params=RUN_PARAMS):
    detect = DetectChanges(task_id="detect_changes", workflow=workflow)
    guard = ReleasesNothing(task_id="guard")
    report = Report(task_id="report", workflow=workflow)
    detect >> guard >> contact_group(workflow, detect) >> report
