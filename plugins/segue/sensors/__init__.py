"""Airflow sensors: what a Segue DAG waits for."""

from __future__ import annotations

from segue.sensors.wait_for_snapshot import WaitForSnapshot

__all__ = ["WaitForSnapshot"]
