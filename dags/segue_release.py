"""Segue's own Airflow DAG for what no run of a workflow does: held, requested, in doubt."""

from segue.dag_builder import release_dag

dag = release_dag()
