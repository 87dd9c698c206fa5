"""Why something was not sent, or not yet, in words for people; docs/operations.md has the table."""

from __future__ import annotations

from segue.delivery.ledger import records
from segue.delivery.schema import State

WORDS = {
    records.SKIPPED_CONDITIONS: "the workflow's conditions did not hold",
    records.SKIPPED_IF: "the action's own condition did not hold",
    records.SKIPPED_AFTER: "an action before it was not delivered",
    records.SKIPPED_OPTED_OUT: "the contact had opted out",
    records.SKIPPED_DELETED: "the contact is not in the directory any more",
    records.SKIPPED_NO_ADDRESS: "the contact has no address that this channel can use",
    records.SKIPPED_NOT_FOUND: "the contact was not in the snapshot",
    records.SKIPPED_SUPPRESSED: "the contact is on the suppression list, or was forgotten",
    records.SKIPPED_HOLDOUT: "the contact is in the workflow's holdout, which gets no messages",
    records.SKIPPED_ONCE: "this action has reached the contact before",
    records.SKIPPED_CAP: "the contact had as many messages as the frequency cap allows",
    records.SKIPPED_RECHECK: "just before sending, the change did not stand any more",
    records.SKIPPED_OPEN_TICKET: "there is an open ticket about the contact already",
    records.SKIPPED_EXPIRED: "it had waited too long for the end of quiet hours",
    records.NO_LONGER_A_CHANGE: "this is no change any more, or its action is not defined any more",
    records.HELD_QUIET_HOURS: "it waits for the end of the contact's quiet hours",
    records.SUPPRESSED_BACKFILL: "the run was a backfill, and nobody asked for delivery",
    records.SUPPRESSED_DROPPED: "a person gave it up while it was held",
    records.SUPPRESSED_MAX_AGE: "the change was older than the workflow's max_age",
    records.SUPPRESSED_FORGOTTEN: "the contact was forgotten",
    records.SUPPRESSED_SENT: "another run that holds the same change has sent it",
    records.SUPPRESSED_IN_HAND: "another run that holds the same change has it in hand",
    records.SUPPRESSED_REACHED: "the workflow had acted on the contact as a member before",
    records.SUPPRESSED_PRUNED: "the change is from a time that retention has deleted",
    records.SUPPRESSED_REJECTED: "a person rejected it at the guard, or nobody answered in time",
}
_BY_STATE = {
    State.PLANNED: "waits for the guard",
    State.RELEASED: "may be sent; its task has not done so yet",
    State.CLAIMED: "a task is at it",
    State.SENDING: "the call is under way",
    State.UNCERTAIN: "nobody can tell whether it arrived",
}


def in_words(outcome: str, reason: str) -> str:
    """Return what a delivery's state and reason mean; what is no reason of ours stays as it is."""
    name, _, detail = reason.partition(":")
    words = WORDS.get(name)
    if outcome not in (State.SKIPPED, State.SUPPRESSED, State.HELD) or words is None:
        return reason or _BY_STATE.get(State(outcome), "")
    return f"{words}: {detail.strip()}" if detail else words
