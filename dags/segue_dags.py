"""Segue's DAGs for Airflow: one per workflow in include/, segue_release, segue_housekeeping."""

from segue.dag_builder import all_dags

globals().update(all_dags(__file__))
