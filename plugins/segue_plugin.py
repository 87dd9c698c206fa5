"""The one file that Airflow's plugin scanner sees; ``.airflowignore`` keeps it out of segue/."""

from segue.airflow_plugin import SeguePlugin

__all__ = ["SeguePlugin"]
