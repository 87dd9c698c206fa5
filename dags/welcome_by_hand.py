"""A Segue workflow written by hand as an Airflow DAG: the same operators, wired as you like.

The definition has the keys of a workflow's YAML. What is different here from a DAG that Segue
builds: a task of one's own between the guard and the branches, and no schedule.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG, task

from segue.dag_builder import RUN_PARAMS, contact_group, task_defaults
from segue.operators import DetectChanges, Guard, Report
from segue.settings import Settings
from segue.workflows.catalog import Catalog

settings = Settings.from_environment(dag_file=__file__)
workflow = Catalog(settings.home).build(
    {
        "workflow": "welcome_by_hand",
        "segment": "high_value",
        "changes": ["added"],
        "start": "2026-11-01",
        "conditions": {"field": "email", "is_set": True},
        "actions": [
            {
                "id": "tell_sales",
                "slack_message": {
                    "connection": "slack_default",
                    "channel": "#sales",
                    "text": "{{ contact.contact_id }} has spent a thousand this year",
                },
            }
        ],
    }
)

with DAG(
    "welcome_by_hand",
    description="The operators of Segue in a DAG written by hand",
    schedule=None,
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    default_args=task_defaults(workflow, settings),
    params=RUN_PARAMS,
    tags={"segue", "example"},
) as dag:
    detect = DetectChanges(task_id="detect_changes", workflow=workflow)
    guard = Guard(task_id="guard", workflow=workflow)
    report = Report(task_id="report", workflow=workflow, watched=["detect_changes", "guard"])

    @task
    def count_branches(branches: list) -> int:
        """Stand for whatever a team wants to do before the first message goes out."""
        return len(branches)

    contacts = contact_group(workflow, detect)
    detect >> guard >> count_branches(detect.output) >> contacts >> report
