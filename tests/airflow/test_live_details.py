"""A workflow that looks its contacts up in the sandbox's XM Directory, run by Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from segue.demo.run import connections
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import EMAIL, World, contact, everything_stored
from tests.channels.run import CURRENT, PREVIOUS
from tests.unit.live.world import QUALTRICS, at_qualtrics

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Played:
    """The run, and all that it left."""

    world: World
    ids: Mapping[str, str]
    tasks: Mapping[str, str]
    stderr: str


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """One run for a contact of each kind; the source is unwell at the first call."""
    home = tmp_path_factory.mktemp("live")
    (home / "dags").mkdir()
    shutil.copy(ROOT / "dags/segue_dags.py", home / "dags")
    ledger = f"sqlite:///{home / 'segue.db'}"
    with Sandbox() as sandbox:
        airflow = DrivenAirflow(
            home / "airflow",
            dags=home / "dags",
            environment={
                **connections(sandbox),
                "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)]),
                "SEGUE_HOME": str(home / "include"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(home / "state"),
            },
        )
        world = World(home, airflow, sandbox, ledger)
        ids = _write(world)
        airflow.run("db", "migrate")
        sandbox.fault("qualtrics", "server_error", path="/contacts/")
        done = subprocess.run(
            [sys.executable, "-m", "tests.channels.run"],
            cwd=ROOT,
            env=airflow.environment,
            input="live\n",
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.stdout, done.stderr[-4000:]
        yield Played(world, ids, json.loads(done.stdout)["tasks"], done.stderr)


def _write(world: World) -> dict[str, str]:
    """Write definitions and snapshots, and fill the directory; returns ids by kind."""

    def known(name: str, **fields: object) -> str:
        about = {"firstName": f"Livename-{name}", "email": f"{name}@live.example.com"}
        return at_qualtrics(world.sandbox, **about, **fields)

    ids = {
        "found": known("found", embeddedData={"level": "mid"}),
        "unmet": known("unmet", embeddedData={"level": "low"}),
        "refused": known("refused", embeddedData={"level": ["Liveleak-refused"]}),
        "opted_out": known("opted_out", embeddedData={"level": "mid"}, unsubscribed=True),
        "unknown": "CID_0",
    }
    everybody = [contact(one) for one in ids.values()]
    world.snapshot("live", PREVIOUS, [{**one, "tier": "silver"} for one in everybody])
    world.snapshot("live", CURRENT, everybody)
    world.workflow(
        "live",
        [EMAIL],
        load=QUALTRICS,
        conditions={"field": "level", "equals": "mid"},
        guard={"share": None},
        branches={"max": 1, "slice_size": 10},
        retries=0,
    )
    return ids


def test_each_contact_has_its_outcome(played: Played) -> None:
    outcomes = {who: what for (who, _), what in played.world.outcomes("live").items()}

    assert {kind: outcomes[who] for kind, who in played.ids.items()} == {
        "found": "delivered",
        "unmet": "skipped(conditions)",
        "refused": "failed(look_up: level is a list; allowed: a text, number, boolean, date or "
        "time)",
        "opted_out": "skipped(opted_out)",
        "unknown": "skipped(contact_not_found)",
    }
    states = {name: played.tasks[name] for name in ("load_contact_details", "conditions", "mail")}
    assert states == {"load_contact_details": "success", "conditions": "success", "mail": "failed"}


def test_the_message_goes_where_the_source_says(played: Played) -> None:
    [mail] = played.world.sandbox.messages(service="smtp")

    assert mail.to == "found@live.example.com"
    assert mail.text.strip() == "Dear Livename-found"


def test_what_was_looked_up_is_in_no_database_and_no_log(played: Played) -> None:
    world = played.world
    kept = "\n".join(
        (
            everything_stored(world.home / "segue.db"),
            world.everything_airflow_stores(),
            world.logs(),
            played.stderr,
        )
    )

    assert played.ids["found"] in kept  # the branch's label names contacts
    for secret in ("Livename", "Liveleak", "live.example.com", "Firstname", "Lastname"):
        assert secret not in kept
