"""Segue: turns changes in contact segments into actions, on Apache Airflow."""

from __future__ import annotations

__version__ = "0.1.0"
