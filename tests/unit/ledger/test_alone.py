"""One process at a time, as long as it lives."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from segue.ledger.alone import alone


def test_nobody_else_is_alone_until_the_end(ledger):
    with (
        alone(ledger.engine, "one") as first,
        alone(ledger.engine, "one") as second,
        alone(ledger.engine, "two") as other,
    ):
        assert (first, second, other) == (True, False, True)
    with alone(ledger.engine, "one") as again:
        assert again


def test_an_error_ends_it(ledger):
    with pytest.raises(RuntimeError), alone(ledger.engine, "one"):
        raise RuntimeError
    with alone(ledger.engine, "one") as again:
        assert again


def test_a_database_in_memory_has_one_process():
    with alone(create_engine("sqlite://"), "one") as first:
        assert first
