"""Airflow operators: the building blocks of a Segue DAG, each one call into the core."""

from __future__ import annotations

from segue.operators.branch import CheckConditions, Deliver, DeliverDigest, LoadContactDetails
from segue.operators.export import ExportLog
from segue.operators.release import FindWork, KeepHouse, Resume, TryOut
from segue.operators.run import DetectChanges, Guard, Report

__all__ = [
    "CheckConditions",
    "Deliver",
    "DeliverDigest",
    "DetectChanges",
    "ExportLog",
    "FindWork",
    "Guard",
    "KeepHouse",
    "LoadContactDetails",
    "Report",
    "Resume",
    "TryOut",
]
