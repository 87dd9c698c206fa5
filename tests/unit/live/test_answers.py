"""What a live source answers of one contact is that contact's alone, whatever it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from segue.contacts.live_look_up import _checked
from segue.errors import ContactFailure


class Source:
    """A source with one field."""

    provides = ("value",)


EAST = timezone(timedelta(hours=5))


@pytest.mark.parametrize(
    ("answered", "value"),
    [
        (datetime(1, 1, 1, tzinfo=EAST), None),  # earlier than the calendar in UTC
        (datetime(2026, 1, 1, 5, tzinfo=EAST), datetime(2026, 1, 1, tzinfo=UTC)),
        (Decimal("sNaN"), None),
        (Decimal("Infinity"), None),
        (float("inf"), None),
        ("\ud83d", "?"),
        (2**70, 2**70),
    ],
)
def test_a_value_is_plain_or_missing(answered: Any, value: Any):
    assert _checked({"value": answered}, Source())["value"] == value


@pytest.mark.parametrize(
    "answer", [{"value": [1]}, {"value": {}}, {"value": b"x"}, 7, "x", ["value"]]
)
def test_what_cannot_be_used_is_the_contacts_failure(answer: Any):
    assert isinstance(_checked(answer, Source()), ContactFailure)
