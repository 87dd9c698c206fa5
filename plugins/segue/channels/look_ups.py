"""What all look-ups of doubtful messages share: the instant from which a vendor is searched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from segue.errors import OutcomeUnknown

CLOCKS_APART = timedelta(minutes=5)  # how far a vendor's clock may be from ours
# Slack's free plan hides messages after 90 days; Zendesk and Freshdesk no longer list tickets that
# were archived, 120 days after they were closed
LONGEST_AGO = timedelta(days=80)


def look_from(since: datetime, now: datetime | None = None) -> datetime:
    """Return the instant from which a message of a call after ``since`` is to be looked for.

    Raises OutcomeUnknown where that is so long ago that vendors no longer show everything.
    """
    if (now or datetime.now(UTC)) - since > LONGEST_AGO:
        raise OutcomeUnknown(
            f"the call began more than {LONGEST_AGO.days} days ago; "
            "vendors do not show everything that is so old"
        )
    return since - CLOCKS_APART
