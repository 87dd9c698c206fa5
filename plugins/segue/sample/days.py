"""One day in the directory's life, as pure steps from one state to the next.

A few contacts a day become *protagonists*: they cross exactly one segment's line, so that a demo
shows a handful of changes that a reader can follow. Everybody else lives below the thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from segue.sample.history import amounts, calls, past_transactions, purchases
from segue.sample.names import HOSTILE
from segue.sample.people import list_memberships, new_contacts, with_hostile_names

ZONE = ZoneInfo("Europe/London")
CALLS_AT_RISK, CALL_WINDOW = 5, 30
CENTS_HIGH_VALUE, PURCHASE_WINDOW = 100_000, 365
FORTNIGHT = 14
# On these days of a fortnight one protagonist has a trait that a workflow must handle.
CALLER_TRAITS = {8: "hostile_caller", 10: "without_phone"}
SPENDER_TRAITS = {8: "hostile_spender", 9: "without_email", 11: "opted_out", 12: "without_email"}


@dataclass(frozen=True, slots=True)
class State:
    """The directory at the end of a day."""

    contacts: pd.DataFrame  # one row per contact, indexed by contact id
    transactions: pd.DataFrame  # one row per interaction
    mailing_lists: pd.DataFrame  # one row per contact and list
    subscriptions: pd.DataFrame  # one row per contact and scope
    protagonists: frozenset[str]
    last_number: int  # the running number given to the newest contact


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day in the directory's zone, counted from the first snapshot."""

    date: date
    offset: int

    @property
    def starts(self) -> pd.Timestamp:
        """Return the first instant of the day."""
        return _midnight(self.date)

    @property
    def ends(self) -> pd.Timestamp:
        """Return the first instant after the day, the snapshot's as-of."""
        return _midnight(self.date + timedelta(days=1))

    def past(self, days: int) -> pd.Timestamp:
        """Return the start of the window of that many days which ends with this one."""
        return _midnight(self.date + timedelta(days=1 - days))

    def trait(self, traits: dict[int, str]) -> str:
        """Return what today's special protagonist is like, if there is one."""
        return traits.get(self.offset % FORTNIGHT, "ordinary")


def first_state(rng: np.random.Generator, size: int, first: Day) -> State:
    """Return the directory as it stood before its first snapshot."""
    contacts = with_hostile_names(new_contacts(rng, size, first_number=1))
    ages = pd.to_timedelta(rng.integers(86_400, 1_500 * 86_400, size), unit="s")
    creation = pd.DatetimeIndex(first.starts - ages).as_unit("us")
    edits = pd.to_timedelta((rng.random(size) * ages.total_seconds()).astype("int64"), unit="s")
    return State(
        contacts=contacts.assign(
            created_at=creation, modified_at=pd.DatetimeIndex(creation + edits).as_unit("us")
        ),
        transactions=past_transactions(rng, contacts, first.starts),
        mailing_lists=list_memberships(rng, contacts.index),
        subscriptions=_first_subscriptions(rng, contacts),
        protagonists=frozenset(),
        last_number=size,
    )


def after_a_day(state: State, day: Day, rng: np.random.Generator) -> State:
    """Return the state at the end of the day: departures, arrivals, calls, purchases, opt-outs."""
    steps: tuple[Callable[[State, Day, np.random.Generator], State], ...] = (
        deletions,
        arrivals,
        conversions,
        support_calls,
        everyday_purchases,
        opt_outs,
        opt_backs,
    )
    for step in steps:
        state = step(state, day, rng)
    return state


def deletions(state: State, day: Day, rng: np.random.Generator) -> State:
    """Delete one or two contacts with everything known of them; now and then one at risk."""
    at_risk = _calls_so_far(state, day) >= CALLS_AT_RISK
    ordinary = state.contacts.index[~at_risk & _undisturbed(state)]
    victims = rng.choice(ordinary, rng.integers(1, 3), replace=False)
    if day.offset % 4 == 1 and at_risk.any():
        victims = np.append(victims, rng.choice(state.contacts.index[at_risk], 1))

    def without(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~frame["contact_id"].isin(victims)].reset_index(drop=True)

    return replace(
        state,
        contacts=state.contacts.drop(victims),
        transactions=without(state.transactions),
        mailing_lists=without(state.mailing_lists),
        subscriptions=without(state.subscriptions),
    )


def arrivals(state: State, day: Day, rng: np.random.Generator) -> State:
    """Add a few new contacts."""
    size = int(rng.integers(4, 10))
    creation = _moments(rng, size, day)
    contacts = new_contacts(rng, size, state.last_number + 1)
    contacts = contacts.assign(created_at=creation, modified_at=creation)
    lists = list_memberships(rng, contacts.index)
    return replace(
        state,
        contacts=pd.concat([state.contacts, contacts]),
        mailing_lists=pd.concat([state.mailing_lists, lists], ignore_index=True),
        last_number=state.last_number + size,
    )


def conversions(state: State, day: Day, rng: np.random.Generator) -> State:
    """Turn a few leads into customers, and a customer into a former one."""
    lifecycle, free = state.contacts["lifecycle"], _undisturbed(state)
    new_customers = _some(
        rng, state.contacts.index[(lifecycle == "lead") & free], rng.integers(1, 4)
    )
    leavers = _some(rng, state.contacts.index[(lifecycle == "customer") & free], rng.integers(0, 2))
    state = _edited(state, day, rng, new_customers, lifecycle="customer")
    return _edited(state, day, rng, leavers, lifecycle="former")


def support_calls(state: State, day: Day, rng: np.random.Generator) -> State:
    """Let everyday callers call, and push two to four customers over the at-risk line."""
    so_far = _calls_so_far(state, day)
    free = _customers(state) & _undisturbed(state)
    quieter = so_far[free & (so_far < CALLS_AT_RISK)]
    callers_at_risk = _protagonists(state, quieter, day.trait(CALLER_TRAITS), rng)
    missing = CALLS_AT_RISK - so_far[callers_at_risk]
    quiet = so_far.index[so_far <= CALLS_AT_RISK - 2].difference(callers_at_risk)
    at_risk = so_far.index[so_far >= CALLS_AT_RISK]
    callers = (
        callers_at_risk.repeat(missing)
        .append(_some(rng, quiet, 25))
        .append(_some(rng, at_risk, len(at_risk) // 8))
    )
    protagonists = state.protagonists | set(callers_at_risk)
    return _with_transactions(
        replace(state, protagonists=protagonists),
        calls(rng, callers, _moments(rng, len(callers), day)),
    )


def everyday_purchases(state: State, day: Day, rng: np.random.Generator) -> State:
    """Let customers buy, and lift two to four of them over the high-value line."""
    spent = _spent_so_far(state, day)
    candidates = spent[_customers(state) & _undisturbed(state) & (spent < CENTS_HIGH_VALUE)]
    spenders = _protagonists(state, candidates, day.trait(SPENDER_TRAITS), rng)
    lift = CENTS_HIGH_VALUE - spent[spenders].to_numpy() + rng.integers(0, 30_000, len(spenders))
    modest = _some(
        rng, candidates.index[candidates < CENTS_HIGH_VALUE - 20_000].difference(spenders), 20
    )
    spread = np.minimum(amounts(rng, len(modest)), 15_000.0)
    loyal = _some(rng, spent.index[spent >= CENTS_HIGH_VALUE], 2)
    buyers = spenders.append(modest).append(loyal)
    cents = np.concatenate([lift, spread, amounts(rng, len(loyal))])
    protagonists = state.protagonists | set(spenders)
    return _with_transactions(
        replace(state, protagonists=protagonists),
        purchases(rng, buyers, _moments(rng, len(buyers), day), cents),
    )


def opt_outs(state: State, day: Day, rng: np.random.Generator) -> State:
    """Opt two to four customers out: of everything by either route, or of one segment."""
    subscribers = _customers(state) & _undisturbed(state) & ~_opted_out(state)
    veterans = subscribers & (state.contacts["created_at"] < day.starts)
    leavers = _some(rng, state.contacts.index[veterans], rng.integers(2, 5))
    routes = rng.choice(("unsubscribed", "directory", "segment:active_customers"), len(leavers))
    rows = pd.DataFrame({"contact_id": leavers, "scope": routes, "opted_in": False})
    rows = rows[rows["scope"] != "unsubscribed"]
    state = _edited(state, day, rng, leavers[routes == "unsubscribed"], unsubscribed=True)
    return replace(
        state,
        subscriptions=_latest(pd.concat([state.subscriptions, rows], ignore_index=True)),
        protagonists=state.protagonists | set(leavers),
    )


def opt_backs(state: State, day: Day, rng: np.random.Generator) -> State:
    """Opt one or two customers back in, whichever way they had left."""
    absentees = _customers(state) & _undisturbed(state) & _opted_out(state)
    returners = _some(rng, state.contacts.index[absentees], rng.integers(1, 3))
    is_return = state.subscriptions["contact_id"].isin(returners)
    subscriptions = state.subscriptions.assign(opted_in=state.subscriptions["opted_in"] | is_return)
    state = _edited(state, day, rng, returners, unsubscribed=False)
    return replace(
        state, subscriptions=subscriptions, protagonists=state.protagonists | set(returners)
    )


def _protagonists(
    state: State, progress: pd.Series[float] | pd.Series[int], trait: str, rng: np.random.Generator
) -> pd.Index[str]:
    """Choose two to four contacts among those closest to the line, one of them special."""
    size = int(rng.integers(2, 5))
    nearest = progress.sort_values(ascending=False, kind="stable").index
    special = nearest[_having(trait, state).reindex(nearest).to_numpy()]
    special = special[:1] if trait != "ordinary" else special[:0]
    plain = nearest[_having("ordinary", state).reindex(nearest).to_numpy()].difference(
        special, sort=False
    )
    return special.append(_some(rng, plain[:30], size - len(special)))


def _having(trait: str, state: State) -> pd.Series[bool]:
    """Say of each contact whether it has a trait; an ordinary one can receive everything."""
    contacts, is_out = state.contacts, _opted_out(state)
    reachable = contacts[["email", "phone"]].notna().all(axis="columns")
    match trait:
        case "without_email":
            return contacts["email"].isna() & contacts["phone"].notna() & ~is_out
        case "without_phone":
            return contacts["phone"].isna() & contacts["email"].notna() & ~is_out
        case "opted_out":
            return reachable & _opted_out(state, "directory")
        case "hostile_spender":
            return contacts["last_name"] == HOSTILE[0][1]
        case "hostile_caller":
            return contacts["first_name"] == HOSTILE[1][0]
        case _:
            return reachable & ~is_out & (contacts["tier"] != "bronze") & ~_hostile(state)


def _hostile(state: State) -> pd.Series[bool]:
    return state.contacts["last_name"].isin([last for _, last in HOSTILE])


def _undisturbed(state: State) -> pd.Series[bool]:
    """Say of each contact whether no story has been told about it yet."""
    return ~pd.Series(
        state.contacts.index.isin(list(state.protagonists)), index=state.contacts.index
    )


def _customers(state: State) -> pd.Series[bool]:
    return state.contacts["lifecycle"] == "customer"


def _opted_out(state: State, scope_prefix: str = "") -> pd.Series[bool]:
    """Say of each contact whether it is opted out, by any route or by those of some scopes."""
    rows = state.subscriptions
    refusals = rows[~rows["opted_in"] & rows["scope"].str.startswith(scope_prefix)]
    refusal = state.contacts.index.isin(refusals["contact_id"])
    return state.contacts["unsubscribed"] | refusal


def _calls_so_far(state: State, day: Day) -> pd.Series[int]:
    """Return each contact's support calls in the window, before today's."""
    recent = state.transactions[state.transactions["date"] >= day.past(CALL_WINDOW)]
    counts = recent.loc[recent["type"] == "support_call", "contact_id"].value_counts()
    return counts.reindex(state.contacts.index, fill_value=0)


def _spent_so_far(state: State, day: Day) -> pd.Series[float]:
    """Return each contact's purchases in the window in cents, before today's."""
    recent = state.transactions[state.transactions["date"] >= day.past(PURCHASE_WINDOW)]
    totals = recent[recent["type"] == "purchase"].groupby("contact_id")["cents"].sum()
    return totals.reindex(state.contacts.index, fill_value=0.0)


def _with_transactions(state: State, rows: pd.DataFrame) -> State:
    new_rows = rows.sort_values(["date", "contact_id"], kind="stable")
    return replace(state, transactions=pd.concat([state.transactions, new_rows], ignore_index=True))


def _edited(
    state: State,
    day: Day,
    rng: np.random.Generator,
    contact_ids: pd.Index[str],
    **values: str | bool,
) -> State:
    """Set fields of some contacts, and when they were modified."""
    contacts = state.contacts.copy()
    contacts.loc[contact_ids, list(values)] = list(values.values())
    contacts.loc[contact_ids, "modified_at"] = _moments(rng, len(contact_ids), day)
    return replace(state, contacts=contacts)


def _first_subscriptions(rng: np.random.Generator, contacts: pd.DataFrame) -> pd.DataFrame:
    """Return a few explicit choices; a contact without a row never made one."""
    contact_ids = _some(rng, contacts.index[len(HOSTILE) :], len(contacts) // 25)
    scopes = rng.choice(
        ("directory", "segment:active_customers", "segment:high_value"), len(contact_ids)
    )
    frame = pd.DataFrame(
        {"contact_id": contact_ids, "scope": scopes, "opted_in": rng.random(len(contact_ids)) < 0.4}
    )
    return _latest(frame)


def _latest(subscriptions: pd.DataFrame) -> pd.DataFrame:
    return subscriptions.drop_duplicates(["contact_id", "scope"], keep="last", ignore_index=True)


def _some(rng: np.random.Generator, ids: pd.Index[str], size: int | np.int64) -> pd.Index[str]:
    """Return that many different ids, or all of them when there are fewer."""
    return ids[rng.choice(len(ids), min(int(size), len(ids)), replace=False)]


def _moments(rng: np.random.Generator, size: int, day: Day) -> pd.DatetimeIndex:
    """Return moments in the opening hours, eight to eight, to the second."""
    seconds = rng.integers(8 * 3600, 20 * 3600, size)
    return pd.DatetimeIndex(day.starts + pd.to_timedelta(seconds, unit="s")).as_unit("us")


def _midnight(day: date) -> pd.Timestamp:
    return pd.Timestamp(day, tz=ZONE).tz_convert("UTC")
