"""The properties of deliveries hold on both databases."""

from __future__ import annotations

from tests.unit.delivery.conftest import ledger

__all__ = ["ledger"]
