"""The plugin class. It is loaded in every task process, so it imports nothing but Airflow's base.

It is registered by the shim ``plugins/segue_plugin.py`` alone: the same plugin found through an
entry point as well would make Airflow drop other plugins in silence.
"""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class SeguePlugin(AirflowPlugin):
    """Makes Segue known to Airflow (``airflow plugins`` lists it once)."""

    name = "segue"
