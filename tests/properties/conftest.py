"""The properties of deliveries hold on both databases."""

from __future__ import annotations

from tests.unit.delivery.conftest import empty_database, empty_file, ledger

__all__ = ["empty_database", "empty_file", "ledger"]
