"""Why something was not sent, or not yet, in words for people; docs/operations.md has the table."""

from __future__ import annotations

from segue.ledger import facts
from segue.ledger.schema import State

WORDS = {
    facts.SKIPPED_CONDITIONS: "the workflow's conditions did not hold",
    facts.SKIPPED_IF: "the action's own condition did not hold",
    facts.SKIPPED_AFTER: "an action before it was not delivered",
    facts.SKIPPED_OPTED_OUT: "the contact had opted out",
    facts.SKIPPED_DELETED: "the contact is not in the directory any more",
    facts.SKIPPED_NO_ADDRESS: "the contact has no address that this channel can use",
    facts.SKIPPED_NOT_FOUND: "the contact was not in the snapshot",
    facts.SKIPPED_SUPPRESSED: "the contact is on the suppression list, or was forgotten",
    facts.SKIPPED_HOLDOUT: "the contact is in the workflow's holdout, which gets no messages",
    facts.SKIPPED_ONCE: "this action has reached the contact before",
    facts.SKIPPED_CAP: "the contact had as many messages as the frequency cap allows",
    facts.SKIPPED_RECHECK: "just before sending, the change did not stand any more",
    facts.SKIPPED_OPEN_TICKET: "there is an open ticket about the contact already",
    facts.SKIPPED_EXPIRED: "it had waited too long for the end of quiet hours",
    facts.NO_LONGER_A_CHANGE: "this is no change any more, or its action is not defined any more",
    facts.HELD_QUIET_HOURS: "it waits for the end of the contact's quiet hours",
    facts.SUPPRESSED_BACKFILL: "the run was a backfill, and nobody asked for delivery",
    facts.SUPPRESSED_DROPPED: "a person gave it up while it was held",
    facts.SUPPRESSED_MAX_AGE: "the change was older than the workflow's max_age",
    facts.SUPPRESSED_FORGOTTEN: "the contact was forgotten",
    facts.SUPPRESSED_SENT: "another run that holds the same change has sent it",
    facts.SUPPRESSED_IN_HAND: "another run that holds the same change has it in hand",
    facts.SUPPRESSED_REACHED: "the workflow had acted on the contact as a member before",
    facts.SUPPRESSED_PRUNED: "the change is from a time that retention has deleted",
    facts.SUPPRESSED_REJECTED: "a person rejected it at the guard, or nobody answered in time",
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
