"""One Airflow DAG for each workflow in include/workflows."""

from segue.dag_builder import workflow_dags

for dag in workflow_dags(__file__):
    globals()[dag.dag_id] = dag
