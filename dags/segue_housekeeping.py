"""Segue's own Airflow DAG for retention."""

from segue.dag_builder import housekeeping_dag

dag = housekeeping_dag()
