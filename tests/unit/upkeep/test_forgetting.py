"""Forgetting a contact: nothing readable stays, counts close, and nothing is sent again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from sqlalchemy import select

from segue.contacts.change import Change
from segue.errors import LedgerError, SettingsError
from segue.ledger import Ledger
from segue.ledger.facts import Finished, Run
from segue.ledger.people.release_requests import RequestKind, Selection, Settlement
from segue.ledger.schema import metadata
from segue.ledger.states import State
from segue.runs.areas import RunArea, forget_in_areas, remove_areas
from segue.segments.membership.store import MembershipStore
from segue.segments.population import Population
from segue.upkeep.forgetting import forget
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    advance,
    detected,
    enrolled,
    record,
    run,
    set_secret,
    stretch,
)

LATER = NOW + timedelta(minutes=5)
WHO = "CID_who"


@pytest.fixture
def keyed(ledger) -> Ledger:
    """Each of WHO's deliveries stands elsewhere; somebody else got the same."""
    set_secret(ledger, "a long secret text")
    actions = ("mail", "ticket", "alert", "survey")
    ids = record(ledger, run(), detected(stretch(21, 22), added(WHO, "other")), actions=actions)
    ledger.runs.release(ids, NOW)
    keys = [key(ledger, action) for action in actions]
    sent = keys[:3]
    mine = {"owner": "me", "now": NOW, "lease_until": LATER}
    ledger.deliveries.claim(sent, **mine)
    advance(ledger, [], sent, **mine)
    vendor = {"external_id": WHO, "url": f"https://x/{WHO}", "results": {"id": WHO}}
    outcomes = [
        Finished(keys[0], State.DELIVERED, digest="d" * 64, **vendor),
        Finished(keys[1], State.FAILED, f"no such user {WHO}", digest="d" * 64),
        Finished(keys[2], State.UNCERTAIN, f"lost {WHO}"),
    ]
    advance(ledger, outcomes, [], **mine)
    return ledger


def key(ledger: Ledger, action: str, contact: str = WHO) -> str:
    return ledger.key("welcome", action, contact, "added", "2026-11-22")


def everything(ledger: Ledger) -> str:
    """All that the database holds, as text."""
    with ledger.engine.connect() as connection:
        rows = [
            [tuple(row) for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        ]
    return repr(rows)


def test_nothing_in_the_database_names_the_contact_any_more(keyed):
    """Neither its id nor a key that could be tried out."""
    keyed.people.file_request(RequestKind.RETRY, Selection("w", contact=WHO, error=WHO), "ann", NOW)
    uncertain = Selection(keys=[key(keyed, "alert")])
    keyed.people.file_request(RequestKind.SETTLE, uncertain, "ann", NOW, Settlement.DELIVERED)
    keyed.people.suppress([WHO], "ann", f"{WHO} asked", NOW)
    keys = [key(keyed, action) for action in ("mail", "ticket", "alert", "survey")]
    assert all(text in everything(keyed) for text in (WHO, *keys))
    found = keyed.retention.forget(WHO, "ann", LATER)
    assert (found.deliveries, found.changes, found.requests) == (4, 1, 2)
    left = everything(keyed)
    assert [text for text in (WHO, *keys, "d" * 64) if text in left] == []


def test_counts_close_and_what_was_delivered_stays_so(keyed):
    ids = [span.id for span in keyed.runs.all_spans("welcome")]
    keyed.retention.forget(WHO, "ann", LATER)
    assert keyed.queries.count_changes(ids).total() == 2
    tally = keyed.queries.tally(ids)
    assert {action: counts.total() for action, counts in tally.items()} == dict.fromkeys(
        ("mail", "ticket", "alert", "survey"), 2
    )
    assert tally["mail"]["delivered", ""] == 1
    for action in ("ticket", "alert", "survey"):
        assert tally[action]["suppressed", "forgotten"] == 1


def test_a_pseudonym_is_one_contact_in_all_rows(keyed):
    keyed.retention.forget(WHO, "ann", LATER)
    ids = {row.contact_id for row in keyed.queries.list_deliveries()} - {"other"}
    [pseudonym] = ids
    assert pseudonym.startswith("forgotten:")


def test_no_request_and_no_policy_brings_a_forgotten_delivery_back(keyed):
    """Neither a retry, nor a settlement, nor a cleared run."""
    [span] = keyed.runs.all_spans("welcome")
    keyed.people.file_request(RequestKind.RETRY, Selection("welcome"), "ann", NOW)
    settle = Selection("welcome")
    keyed.people.file_request(RequestKind.SETTLE, settle, "ann", NOW, Settlement.NOT_DELIVERED)
    keyed.retention.forget(WHO, "ann", LATER)
    for request in keyed.people.open_requests():
        assert keyed.people.carry_out(request, LATER).startswith("0 ")
    for policy in ("max_age", None):
        again = detected(span.stretch, [], policy)
        run_again = Run("welcome", span.run_id)
        keyed.runs.record_again(run_again, [(span, again)], ("mail",), DEFINITION, NOW)
    states = {row.outcome for row in keyed.queries.list_deliveries() if row.contact_id != "other"}
    assert states == {"delivered", "suppressed"}


def test_without_a_secret_nobody_is_forgotten(keyed):
    plain = Ledger(keyed.engine, "test")
    with pytest.raises(SettingsError, match="set SEGUE_SECRET to a long random text"):
        plain.retention.forget(WHO, "ann", LATER)
    assert WHO in everything(keyed)
    assert plain.people.suppressed([WHO]) == {}


def test_another_secret_forgets_nobody(keyed):
    keyed.retention.forget("somebody", "ann", NOW)
    other = Ledger(keyed.engine, "test", "other")
    with pytest.raises(SettingsError, match="SEGUE_SECRET is another than it was"):
        other.retention.forget(WHO, "ann", LATER)
    assert keyed.people.suppressed([WHO]) == {}


@pytest.mark.parametrize("sending", [True, False])
def test_a_delivery_under_way_puts_erasing_off_but_stops_what_follows(keyed, sending):
    """Claimed or sending: suppressed from now on; the command is run again."""
    mine = {"owner": "me", "now": NOW, "lease_until": LATER}
    keyed.deliveries.claim([key(keyed, "survey")], **mine)
    if sending:
        advance(keyed, [], [key(keyed, "survey")], **mine)
    with pytest.raises(LedgerError, match="run the command again"):
        keyed.retention.forget(WHO, "ann", NOW)
    assert keyed.people.suppressed([WHO]) == {WHO: "forgotten"}
    assert WHO in everything(keyed)
    advance(keyed, [Finished(key(keyed, "survey"), State.FAILED, "no")], [], **mine)
    keyed.retention.forget(WHO, "ann", NOW)
    assert WHO not in everything(keyed)


def test_a_claim_that_ran_out_is_not_under_way(keyed):
    keyed.deliveries.claim([key(keyed, "survey")], owner="dead", now=NOW, lease_until=NOW)
    keyed.retention.forget(WHO, "ann", LATER)
    assert WHO not in everything(keyed)


def test_a_call_in_doubt_puts_erasing_off_for_an_hour_at_most(keyed):
    """Its vendor may not answer for days, or its action be gone from the workflow."""
    mine = {"owner": "dead", "now": NOW, "lease_until": NOW}
    keyed.deliveries.claim([key(keyed, "survey")], **mine)
    advance(keyed, [], [key(keyed, "survey")], **mine)
    with pytest.raises(LedgerError, match="under way"):
        keyed.retention.forget(WHO, "ann", NOW + timedelta(hours=1))
    keyed.retention.forget(WHO, "ann", NOW + timedelta(hours=1, seconds=1))
    assert WHO not in everything(keyed)


def test_a_contact_that_the_ledger_does_not_know_is_suppressed_all_the_same(keyed):
    found = keyed.retention.forget("nobody", "ann", NOW)
    assert (found.deliveries, found.changes, found.requests) == (0, 0, 0)
    assert keyed.people.suppressed(["nobody"]) == {"nobody": "forgotten"}


def test_who_was_forgotten_is_not_recorded_again(keyed):
    """Neither in a new run nor in one that is cleared, nor as a current member."""
    keyed.retention.forget(WHO, "ann", NOW)
    [span] = keyed.runs.all_spans("welcome")
    again = detected(stretch(21, 22), added(WHO, "other"))
    keyed.runs.record_again(run(), [(span, again)], ["mail"], DEFINITION, NOW)
    record(keyed, run("run-2"), detected(stretch(22, 23), added(WHO, "third")))
    record(keyed, run("run-3"), enrolled(23, WHO, "third"))
    assert WHO not in everything(keyed)
    snapshots = {row.snapshot for row in keyed.queries.list_deliveries(contact_id="third")}
    assert snapshots == {"2026-11-23"}


@pytest.mark.parametrize("moment", ["_insert_changes", "_insert_deliveries", "_judge"])
def test_who_is_forgotten_while_a_run_is_recorded_is_erased_from_it(keyed, monkeypatch, moment):
    """At whatever step of it: the one waits for the other."""
    step = getattr(keyed.runs, moment)
    begun = []

    def meanwhile(*arguments):
        begun.append(pool.submit(keyed.retention.forget, WHO, "ann", LATER))
        wait(begun, timeout=0.5)
        return step(*arguments)

    monkeypatch.setattr(keyed.runs, moment, meanwhile)
    with ThreadPoolExecutor(1) as pool:
        record(keyed, run("run-2"), detected(stretch(22, 23), added(WHO, "third")))
        begun[0].result()
    assert WHO not in everything(keyed)


def test_forgetting_again_erases_what_was_recorded_in_between(keyed, monkeypatch):
    """As releases before this one did. The first rows are kept: what was delivered is."""
    monkeypatch.setattr(keyed.runs, "_without_forgotten", lambda _, span: span)
    keyed.retention.forget(WHO, "ann", NOW)
    [span] = keyed.runs.all_spans("welcome")
    again = detected(stretch(21, 22), added(WHO, "other"))
    actions = ["mail", "ticket", "alert", "survey"]
    keyed.runs.record_again(run(), [(span, again)], actions, DEFINITION, NOW)
    assert WHO in everything(keyed)
    keyed.retention.forget(WHO, "ann", LATER)
    assert WHO not in everything(keyed)
    outcomes = [row.outcome for row in keyed.queries.list_deliveries(action="mail")]
    assert sorted(outcomes) == ["delivered", "released"]


def test_another_namespace_keeps_what_it_has(keyed):
    staging = Ledger(keyed.engine, "staging")
    record(staging, run(), detected(stretch(21, 22), added(WHO)))
    keyed.retention.forget(WHO, "ann", LATER)
    assert [row.contact_id for row in staging.queries.list_deliveries()] == [WHO]


# ---- files ------------------------------------------------------------------------------------


def write_area(state: str, run_id: str, *slices: tuple[str, ...]) -> RunArea:
    """The area of a run whose slices hold these contacts, with all kinds of details."""
    area = RunArea.of_run(state, "test", "welcome", run_id)
    area.write_audience("audience")
    rows = [[Change(c, "added", "", "2026-11-22", "2026-11-22") for c in ids] for ids in slices]
    area.write_slices(rows)
    for number, ids in enumerate(slices):
        area.write_passed(number, rows[number])
        twice = pd.DataFrame({"contact_id": [*ids, *ids], "date": [NOW] * 2 * len(ids)})
        population = Population(
            contacts=pd.DataFrame({"contact_id": ids, "email": [f"{c}@x" for c in ids]}),
            transactions=twice,
            mailing_lists=None,
            subscriptions=None,
            segments=pd.DataFrame({"gold": [c == "other" for c in ids]}),
            as_of=NOW,
            zone=ZoneInfo("UTC"),
        )
        area.write_details(number, "2026-11-22", population)
    return area


def files(folder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_run_area_loses_the_contact_and_keeps_the_others(tmp_path):
    area = write_area(str(tmp_path), "run-1", (WHO, "other"), ("third",))
    assert forget_in_areas(str(tmp_path), "test", WHO) == 1
    assert WHO.encode() not in files(tmp_path)
    assert [change.contact_id for change in area.read_slice(0)] == ["other"]
    assert [change.contact_id for change in area.read_passed(0)] == ["other"]
    details = area.read_details(0, "2026-11-22")
    assert list(details.contacts["email"]) == ["other@x"]
    assert list(details.transactions["contact_id"]) == ["other", "other"]
    assert list(details.segments["gold"]) == [True]
    assert list(area.read_details(1, "2026-11-22").contacts["contact_id"]) == ["third"]


def test_a_branch_of_the_contact_alone_is_left_empty(tmp_path):
    area = write_area(str(tmp_path), "run-1", (WHO,))
    forget_in_areas(str(tmp_path), "test", WHO)
    assert area.read_slice(0) == area.read_passed(0) == []
    assert len(area.read_details(0, "2026-11-22").contacts) == 0


def test_areas_without_the_contact_are_left_alone(tmp_path):
    write_area(str(tmp_path), "run-1", ("other",))
    before = files(tmp_path)
    assert forget_in_areas(str(tmp_path), "test", WHO) == 0
    assert files(tmp_path) == before
    assert forget_in_areas(str(tmp_path / "nowhere"), "test", WHO) == 0


def test_an_interrupted_attempt_is_finished_by_the_next(tmp_path):
    """It had done segments.parquet and stopped before contacts.parquet."""
    area = write_area(str(tmp_path), "run-1", (WHO, "other"))
    [path] = tmp_path.rglob("segments.parquet")
    pd.DataFrame({"gold": [True]}).to_parquet(path, index=False)
    assert forget_in_areas(str(tmp_path), "test", WHO) == 1
    details = area.read_details(0, "2026-11-22")
    assert (list(details.contacts["contact_id"]), list(details.segments["gold"])) == (
        *(["other"], [True]),
    )


def test_areas_that_nobody_needs_are_removed(tmp_path):
    for run_id in ("run-1", "run-2"):
        write_area(str(tmp_path), run_id, ("a",))
    elsewhere = RunArea.of_run(str(tmp_path), "staging", "welcome", "run-1")
    elsewhere.write_audience("audience")
    assert remove_areas(str(tmp_path), "test", {("welcome", "run-2")}) == 1
    kept = RunArea.of_run(str(tmp_path), "test", "welcome", "run-2")
    assert kept.read_audience() == elsewhere.read_audience() == "audience"
    assert not RunArea.of_run(str(tmp_path), "test", "welcome", "run-1").root.exists()


def test_forgetting_reaches_ledger_areas_and_stored_memberships(keyed, tmp_path):
    state = tmp_path / "state"
    write_area(str(state), "run-1", (WHO, "other"))
    folder = state / "memberships" / "gold"
    folder.mkdir(parents=True)
    for name, ids in (("with", [WHO, "other"]), ("without", ["other"])):
        frame = pd.DataFrame({"contact_id": ids, "opted_in": True})
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / "broken.parquet").write_bytes(b"no parquet")
    left = folder / f"killed.parquet.{'0' * 32}.tmp"  # by a writer, two hours ago
    left.write_bytes(WHO.encode())
    os.utime(left, times=((LATER - timedelta(hours=2)).timestamp(),) * 2)
    found = forget(keyed, str(state), WHO, "ann", LATER)
    assert (found.rows.deliveries, found.run_areas, found.memberships) == (4, 1, 2)
    assert [path.name for path in folder.iterdir()] == ["without.parquet"]
    assert WHO.encode() not in files(state)
    again = forget(keyed, str(state), WHO, "ann", LATER)
    assert (again.rows.deliveries, again.run_areas, again.memberships) == (0, 0, 0)


def test_two_may_forget_at_once(tmp_path):
    """What the other has deleted is gone, and the rest is deleted too."""

    class Slower(MembershipStore):
        def _holds(self, path: str, contact_id: str) -> bool:
            Path(path).unlink(missing_ok=True)
            return True

    folder = tmp_path / "memberships" / "gold"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.parquet").write_bytes(b"")
    assert Slower(str(tmp_path)).forget(WHO) == 2


def test_without_any_state_there_is_nothing_to_erase(tmp_path):
    assert MembershipStore(str(tmp_path / "none")).forget(WHO) == 0


def test_a_request_of_others_stays_as_it_is(keyed):
    keyed.people.file_request(RequestKind.RETRY, Selection("welcome", contact="other"), "ann", NOW)
    keyed.retention.forget(WHO, "ann", LATER)
    [request] = keyed.people.open_requests()
    assert request.selection.contact == "other"
