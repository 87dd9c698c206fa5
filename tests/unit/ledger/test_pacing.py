"""One rule for whoever calls a vendor: the door, look-ups and messages to a tester."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest

from segue.contracts.channel import Limit
from segue.errors import TransientFailure
from segue.ledger.pacing import Pacer
from tests.unit.live.clock import NOW, Wrist

PACKAGE = Path(__file__).parents[3] / "plugins" / "segue"
SLOW, QUICK = [Limit("slow", 50, 3600)], [Limit("quick", 1000, 1)]


def pacer(ledger, wrist: Wrist, seconds: float | None = None, **options) -> Pacer:
    until = None if seconds is None else NOW + timedelta(seconds=seconds)
    return Pacer(ledger.deliveries, wrist.clock, until, **options)


def test_the_turn_of_a_slow_rate_is_waited_for(ledger):
    wrist = Wrist()
    paced = pacer(ledger, wrist)
    for _ in range(3):
        paced.take_turn(SLOW)
    assert wrist.now - NOW >= timedelta(seconds=2 * 72)
    assert paced.too_long is None


def test_a_vendor_is_waited_for_up_to_a_minute(ledger):
    wrist = Wrist()
    paced = pacer(ledger, wrist)
    paced.heed(TransientFailure("429", retry_after=60.0), QUICK)
    paced.take_turn(QUICK)
    assert sum(wrist.sleeps) == pytest.approx(60)
    paced.heed(TransientFailure("429", retry_after=61.0), QUICK)
    with pytest.raises(TransientFailure, match="in 61 s") as caught:
        paced.take_turn(QUICK)
    assert (paced.too_long, caught.value.retry_after) == (61.0, 61.0)


def test_what_a_vendor_asks_of_one_task_holds_for_the_others(ledger):
    wrist = Wrist()
    pacer(ledger, wrist).heed(TransientFailure("429", retry_after=30.0), QUICK)
    other = pacer(ledger, wrist)
    assert other.reserve([QUICK, QUICK]) == 0
    assert other.left == pytest.approx(30)


def test_a_failure_of_which_nothing_was_asked_is_a_matter_of_this_task(ledger):
    wrist = Wrist()
    paced = pacer(ledger, wrist)
    paced.heed(TransientFailure("reset"), QUICK, backoff=4.0)
    assert (paced.left, pacer(ledger, wrist).reserve([QUICK])) == (4.0, 1)


def test_no_turn_is_taken_after_the_end(ledger):
    wrist = Wrist()
    paced = pacer(ledger, wrist, seconds=100, too_far="no call for {:.0f} seconds")
    paced.take_turn(SLOW)
    paced.take_turn(SLOW)
    with pytest.raises(TransientFailure, match="no call for 72 seconds"):
        paced.take_turn(SLOW)
    assert wrist.now <= NOW + timedelta(seconds=100)
    wrist.now = NOW + timedelta(seconds=101)
    with pytest.raises(TransientFailure):  # though the limit would allow it
        paced.take_turn(QUICK)


def test_only_the_pacer_reserves_calls_and_holds_them_back():
    """Whoever has a rule of its own would wait longer than the others, or not at all."""
    callers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if (node.func.attr, ast.unparse(node.func.value).split(".")[-1])
        in {("reserve", "deliveries"), ("reserve", "_rates"), ("hold_back", "_rates")}
        or (node.func.attr == "hold_back" and "deliveries" in ast.unparse(node.func.value))
    }
    assert callers == {"ledger/pacing.py"}
