"""From when on a doubtful message is looked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from segue.channels.look_ups import CLOCKS_APART, LONGEST_AGO, look_from
from segue.errors import OutcomeUnknown

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)


def test_the_vendors_clock_may_be_behind():
    assert look_from(NOW - timedelta(hours=1), NOW) == NOW - timedelta(hours=1) - CLOCKS_APART


def test_what_vendors_no_longer_show_cannot_be_told():
    assert look_from(NOW - LONGEST_AGO, NOW)
    with pytest.raises(OutcomeUnknown, match="80 days"):
        look_from(NOW - LONGEST_AGO - timedelta(seconds=1), NOW)
