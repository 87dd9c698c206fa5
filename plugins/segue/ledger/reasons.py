"""Why a delivery is skipped, held, waiting or suppressed: one closed set, with words for people.

docs/operations.md says what to do about each. What a delivery's ``reason`` has after a colon is
for the reader; a failed delivery's reason is the vendor's own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from segue.ledger.states import DUE_LATER, State


class Reason(StrEnum):
    """A reason of ours; ``words`` say it to people."""

    words: str

    def __new__(cls, value: str, words: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    # skipped
    CONDITIONS = "conditions", "the workflow's conditions did not hold"
    IF = "if", "the action's own condition did not hold"
    AFTER = "after", "an action before it was not delivered"
    OPTED_OUT = "opted_out", "the contact had opted out"
    DELETED = "deleted", "the contact is not in the directory any more"
    NO_ADDRESS = "no_address", "the contact has no address that this channel can use"
    NOT_FOUND = "contact_not_found", "the contact was not in the snapshot"
    SUPPRESSION_LIST = (
        "suppression_list",
        "the contact is on the suppression list, or was forgotten",
    )
    HOLDOUT = "holdout", "the contact is in the workflow's holdout, which gets no messages"
    ARM = "arm", "the action is for another arm of the workflow's split than the contact's"
    ONCE_PER_CONTACT = "once_per_contact", "this action has reached the contact before"
    FREQUENCY_CAP = (
        "frequency_cap",
        "the contact had as many messages as the frequency cap allows",
    )
    RECHECK = "recheck", "just before sending, the change did not stand any more"
    OPEN_TICKET = "open_ticket", "there is an open ticket about the contact already"
    LEFT = "left", "the workflow's leave_when held before it was sent"
    EXPIRED = "expired", "it had waited too long for the end of quiet hours"
    NO_LONGER_A_CHANGE = (
        "no_longer_a_change",
        "this is no change any more, or its action is not defined any more",
    )
    # held
    QUIET_HOURS = "quiet_hours", "it waits for the end of the contact's quiet hours"
    # waiting
    WAIT = "wait", "the action waits, as its workflow says"
    # suppressed
    BACKFILL = "backfill", "the run was a backfill, and nobody asked for delivery"
    DROPPED = "dropped", "a person gave it up while it was held, or waited"
    MAX_AGE = "max_age", "the change was older than the workflow's max_age"
    FORGOTTEN = "forgotten", "the contact was forgotten"
    SENT_BEFORE = "sent_before", "another run that holds the same change has sent it"
    IN_HAND = "in_hand", "another run that holds the same change has it in hand"
    REACHED = "reached", "the workflow had acted on the contact as a member before"
    PRUNED = "pruned", "the change is from a time that retention has deleted"
    REJECTED = "rejected", "a person rejected it at the guard, or nobody answered in time"


FINAL_SKIPS = (
    Reason.NO_LONGER_A_CHANGE,
    Reason.EXPIRED,
    Reason.LEFT,
)  # that no later pass judges again
# what is judged again when a run is cleared from detect_changes or the guard
POLICY_REASONS = (Reason.BACKFILL, Reason.MAX_AGE, Reason.DROPPED)
_WORDS = {reason.value: reason.words for reason in Reason}
_BY_STATE = {
    State.PLANNED: "waits for the guard",
    State.RELEASED: "may be sent; its task has not done so yet",
    State.CLAIMED: "a task is at it",
    State.SENDING: "the call is under way",
    State.UNCERTAIN: "nobody can tell whether it arrived",
}


def after(action: str, state: State | None) -> str:
    """Return why a delivery waits: an action before it is not delivered, or not planned."""
    return f"{Reason.AFTER}: {action} {state or 'not planned'}"


def in_words(outcome: str, reason: str) -> str:
    """Return what a delivery's state and reason mean; what is no reason of ours stays as it is."""
    name, _, detail = reason.partition(":")
    words = _WORDS.get(name)
    if outcome not in (State.SKIPPED, State.SUPPRESSED, *DUE_LATER) or words is None:
        return reason or _BY_STATE.get(State(outcome), "")
    return f"{words}: {detail.strip()}" if detail else words
