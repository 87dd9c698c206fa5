"""Segue's own Airflow DAG: settles what dead workers left behind."""

from segue.dag_builder import release_dag

dag = release_dag()
