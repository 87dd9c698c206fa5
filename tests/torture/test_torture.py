"""A small set of the crash injection that ``make torture`` carries out at large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture import databases
from tests.torture.databases import Cluster, NoPostgresql, cluster
from tests.torture.experiments import (
    AFTER_EFFECT,
    DIGEST_RACE,
    DIGESTS,
    EXPIRED,
    LOST_ANSWERS,
    RACE,
    RACE_AND_KILLS,
    RESTARTS,
    STEPS,
    STORM_5XX,
    STORM_429,
    WAITS,
    WRONG_HOST,
    Bench,
    Experiment,
    carry_out,
)
from tests.torture.trials import Figures
from tests.torture.vendors import BY_NAME


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("torture")) as made:
        yield made


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server of the test's own."""
    try:
        with cluster() as made:
            yield made
    except NoPostgresql as missing:
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise
        pytest.skip(str(missing))


def problems(bench: Bench, *experiment: object) -> list[str]:
    wanted = Experiment(*experiment)
    return wanted.problems(carry_out(wanted, bench))


def test_workers_killed_after_the_server_acted_send_nothing_twice(bench: Bench):
    """Three workers of sixty Slack messages die before they hear the answer."""
    assert problems(bench, AFTER_EFFECT, "slack_message", "sqlite", 60, 3) == []


NAMES = list(BY_NAME)
AT_A_STEP = [(step, NAMES[number % len(NAMES)]) for number, step in enumerate(STEPS)]
AT_ANOTHER = [
    (step, NAMES[(number + number // len(NAMES) + 1) % len(NAMES)])
    for number, step in enumerate(STEPS)
]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "vendor"), AT_A_STEP)
def test_workers_killed_at_a_step_send_each_message_once(bench: Bench, step: str, vendor: str):
    """Five workers die; mails that are in doubt are reported, everything else is settled."""
    assert problems(bench, step, vendor, "sqlite", 100, 5) == []


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize(("step", "vendor"), AT_ANOTHER)
def test_a_ledger_on_postgresql_keeps_what_killed_workers_did(
    bench: Bench, postgresql: Cluster, step: str, vendor: str
):
    bench.shared = postgresql
    assert problems(bench, step, vendor, "postgresql", 100, 5) == []


@pytest.mark.slow
@pytest.mark.parametrize("vendor", BY_NAME)
@pytest.mark.parametrize("trouble", [STORM_429, STORM_5XX, LOST_ANSWERS, EXPIRED, WRONG_HOST])
def test_a_server_that_is_unwell_gets_each_message_once(bench: Bench, vendor: str, trouble: str):
    """A broken connection also has to fail a pass once, with every delivery still released."""
    assert problems(bench, trouble, vendor, "sqlite", 100, 0) == []


@pytest.mark.slow
@pytest.mark.parametrize(("race", "kills"), [(RACE, 0), (RACE_AND_KILLS, 4)])
def test_workers_that_race_send_each_message_once(bench: Bench, race: str, kills: int):
    assert problems(bench, race, "zendesk_ticket", "sqlite", 200 if kills else 2000, kills) == []


def test_workers_killed_at_what_has_waited_send_each_once(bench: Bench):
    assert problems(bench, WAITS, "slack_message", "sqlite", 120, 6) == []


@pytest.mark.slow
@pytest.mark.parametrize("vendor", BY_NAME)
def test_what_has_waited_is_sent_once_whatever_happens(
    bench: Bench, postgresql: Cluster, vendor: str
):
    bench.shared = postgresql
    for database in ("sqlite", "postgresql"):
        assert problems(bench, WAITS, vendor, database, 200, 10) == []


def test_workers_killed_at_digests_tell_of_each_contact_once(bench: Bench):
    """Six die at any step of twenty-four digests of five contacts."""
    assert problems(bench, DIGESTS, "slack_message", "sqlite", 120, 6) == []


@pytest.mark.slow
@pytest.mark.parametrize("vendor", [name for name in NAMES if BY_NAME[name].takes_digests])
@pytest.mark.parametrize("name", [DIGESTS, DIGEST_RACE])
def test_digests_are_told_once_whatever_happens(bench: Bench, vendor: str, name: str):
    assert problems(bench, name, vendor, "sqlite", 120, 4) == []


@pytest.mark.slow
@pytest.mark.postgres
def test_a_restart_of_the_ledgers_server_loses_and_repeats_nothing(
    bench: Bench, postgresql: Cluster
):
    assert problems(bench, RESTARTS, "freshdesk_ticket", "postgresql", 400, 2) == []


def test_a_machine_without_postgresql_is_told_where_it_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(databases, "PACKAGED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPostgresql, match=r"no initdb and pg_ctl in .* or on the PATH"):
        cluster().__enter__()


def test_figures_name_what_breaks_the_guarantee():
    """Only a channel that cannot be asked may leave deliveries uncertain."""
    figures = Figures(100, 5, 98, duplicates=1, lost=2, uncertain=3, unsettled=4)
    asked = Experiment(AFTER_EFFECT, "slack_message", "sqlite", 100, 6)
    mail = Experiment(AFTER_EFFECT, "email", "sqlite", 100, 5)
    broken = ["1 duplicates", "2 lost", "4 unsettled"]
    assert mail.problems(figures) == broken
    assert asked.problems(figures) == [*broken, "3 uncertain", "5 of 6 interruptions"]
