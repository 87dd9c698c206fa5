"""One Airflow DAG for each workflow in include/workflows."""

from segue.dag_builder import workflow_dags

for dag in workflow_dags():
    globals()[dag.dag_id] = dag
