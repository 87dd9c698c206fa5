"""The properties of deliveries hold on both databases."""

from __future__ import annotations

from tests.unit.conftest import (
    database,
    empty_database,
    empty_file,
    engine_of_database,
    engine_of_file,
    ledger,
    shared_database,
)

__all__ = [
    "database",
    "empty_database",
    "empty_file",
    "engine_of_database",
    "engine_of_file",
    "ledger",
    "shared_database",
]
