"""No DAG of its own: shows what is wrong in include/ as an import error in the Airflow UI."""

from segue.dag_builder import check_definitions

check_definitions(__file__)
