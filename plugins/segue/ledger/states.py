"""The states of a delivery, every way from one to another and who takes it, and named groups.

The diagram and the table for readers are in docs/design.md; a test holds their ways to ``Step``.
Every write of a state names its steps, and changes only what stands in an origin of them.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, StrEnum


class State(StrEnum):
    """Where a delivery stands."""

    PLANNED = "planned"
    RELEASED = "released"
    CLAIMED = "claimed"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    HELD = "held"
    WAITING = "waiting"
    SKIPPED = "skipped"
    SUPPRESSED = "suppressed"


# of a run that is not over
OPEN_STATES = frozenset({State.PLANNED, State.RELEASED, State.CLAIMED, State.SENDING})
# of a worker, under a lease
IN_ONES_HANDS = (State.CLAIMED, State.SENDING)
# a call may have had its effect, and nobody has said so
UNDER_WAY = (State.SENDING, State.UNCERTAIN)
MAY_HAVE_ARRIVED = (*UNDER_WAY, State.DELIVERED)
# where a run is cleared or a retry asked for
COMES_BACK = (State.FAILED, State.SKIPPED)
# until a moment, when segue_release takes it up
DUE_LATER = (State.HELD, State.WAITING)
# a claim is among them: its worker finds out when it wants to begin the call
RELEASED_UNSENT = (State.RELEASED, State.CLAIMED, *DUE_LATER, *COMES_BACK)
UNSENT = (State.PLANNED, *RELEASED_UNSENT)
# sent, or about to be
ACTED_ON = (*MAY_HAVE_ARRIVED, State.CLAIMED, State.RELEASED, *DUE_LATER)
NOT_RELEASED = (State.PLANNED, State.SUPPRESSED)


class Step(Enum):
    """One way of a delivery: from any of ``origins`` to ``to``; ``by`` says who takes it."""

    origins: tuple[State, ...]
    to: State
    by: str

    def __init__(self, origins: Collection[State], to: State, by: str) -> None:
        self.origins = tuple(origins)
        self.to = to
        self.by = by

    # a run records and judges
    RECORD = (), State.PLANNED, "detect_changes records a change"
    RECORD_SUPPRESSED = (), State.SUPPRESSED, "detect_changes, where a policy says so"
    WITHDRAW = (*UNSENT, State.SUPPRESSED), State.SKIPPED, "a cleared run: it is no change now"
    PLAN_AGAIN = (
        (State.SKIPPED, State.SUPPRESSED),
        State.PLANNED,
        "a cleared run: it may be sent again",
    )
    # the guard, and what keeps it from releasing
    RELEASE = NOT_RELEASED, State.RELEASED, "the guard, within its limits or by a person's approval"
    REJECT = NOT_RELEASED, State.SUPPRESSED, "a person, or the deadline"
    LEAVE_OUT = NOT_RELEASED, State.SUPPRESSED, "the guard: another span acts on the contact"
    END = (*UNSENT, State.SUPPRESSED), State.SUPPRESSED, "a quarantine, a policy, an enrolment"
    # the door and its workers
    CLAIM = (
        (State.RELEASED, *DUE_LATER, State.CLAIMED, *COMES_BACK, State.UNCERTAIN),
        State.CLAIMED,
        "the door",
    )
    BEGIN = (State.CLAIMED,), State.SENDING, "the door, in the commit before the call"
    GIVE_BACK = (State.CLAIMED,), State.RELEASED, "the worker gives it back, or its lease ran out"
    HOLD_AGAIN = (State.CLAIMED,), State.HELD, "the same, of what was held before"
    DOUBT_AGAIN = (
        (State.CLAIMED,),
        State.UNCERTAIN,
        "the same, of what was to be sent once more in doubt",
    )
    SKIP_UNMET = (
        (State.RELEASED, *DUE_LATER, *COMES_BACK),
        State.SKIPPED,
        "conditions, judged now, do not hold",
    )
    RELEASE_MET = (State.SKIPPED,), State.RELEASED, "conditions, judged again, hold"
    # outcomes of a call, or of what comes before it
    DELIVER = UNDER_WAY, State.DELIVERED, "the vendor has it"
    FAIL = (State.CLAIMED, *UNDER_WAY), State.FAILED, "refused for good, or it cannot be rendered"
    SKIP = (State.CLAIMED, *UNDER_WAY), State.SKIPPED, "the door or the vendor: nothing to send"
    TRY_AGAIN = (State.CLAIMED, *UNDER_WAY), State.CLAIMED, "surely nothing was sent"
    WAIT = (State.CLAIMED,), State.WAITING, "the action's wait is not over"
    HOLD = (State.CLAIMED, *UNDER_WAY), State.HELD, "quiet hours, or the vendor has not got it"
    DOUBT = (State.CLAIMED, *UNDER_WAY), State.UNCERTAIN, "nobody can tell whether it arrived"
    ASK_LATER = (
        (State.SENDING,),
        State.SENDING,
        "the answer was lost; the channel is asked once the call is over",
    )
    BAR = UNDER_WAY, State.SUPPRESSED, "it came to nothing, and something forbids it by now"
    # what nobody's pass takes up
    CALL_UNCERTAIN = (
        (State.SENDING,),
        State.UNCERTAIN,
        "recovery: the worker ended, and the channel cannot be asked",
    )
    EXPIRE = (State.HELD,), State.SKIPPED, "it was held for too long"
    DROP_WITHDRAWN = DUE_LATER, State.SKIPPED, "its change was taken back meanwhile"
    HOLD_FOLLOWER = (State.SKIPPED,), State.HELD, "what it came after has been delivered since"
    # people
    SETTLE_DELIVERED = (State.UNCERTAIN,), State.DELIVERED, "a person: it arrived"
    SEND_AGAIN = (
        (State.FAILED, State.UNCERTAIN),
        State.HELD,
        "a person: a retry, or it did not arrive",
    )
    REFUSE_AGAIN = (
        (State.FAILED, State.UNCERTAIN),
        State.SUPPRESSED,
        "a person asked, and something forbids it by now",
    )
    DROP = DUE_LATER, State.SUPPRESSED, "a person gave it up"
    DROP_UNASKED = (
        (State.SENDING,),
        State.UNCERTAIN,
        "a person gave it up before the channel was asked",
    )
    FORGET = (
        [state for state in State if state is not State.DELIVERED],
        State.SUPPRESSED,
        "the contact is forgotten",
    )
