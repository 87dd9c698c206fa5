"""A real Airflow with the sample loaded, days of it run, and somebody to log in as.

Used by the browser tests and by ``python -m tests.ui.screenshots``. The sample ends the day before
yesterday, whose run is past at any hour, so that charts of the past days have something in them.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from segue.demo.run import connections
from segue.sample.generator import generate
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import World, contact
from tests.ui.filled import HOSTILE

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ("escalate_at_risk", "report_opt_outs", "welcome_high_value")
RENEWALS = "remind_renewals"  # what goes wrong, goes wrong here
Person = Mapping[str, Any]
USERS = {"anna": ("admin", "an admin's password"), "vera": ("viewer", "a viewer's password")}
MAIL = {
    "id": "mail",
    "email": {
        "from": "shop@example.com",
        "subject": "Your contract ends soon",
        "text": "Dear {{ contact.first_name }},\nyour contract ends in thirty days.",
        "html": "<h1>Dear {{ contact.first_name }}</h1><p>Your contract ends in thirty days.</p>",
    },
}
ALERT = {
    "id": "tell_sales",
    "slack_message": {
        "channel": "#renewals",
        "text": "{{ contact.contact_id }} {{ contact.first_name | default('(no name)') }}: call?",
    },
}
CONTACTS = (
    contact("CID_2001", first_name="Maja", email="maja@people.example.com"),
    contact("CID_2002", first_name="", email="nameless@people.example.com"),
    contact("CID_2003", first_name="Tariq", email="lost@people.example.com"),
    contact("CID_2004", first_name="Ines", email="ines@people.example.com", phone=""),
    contact("CID_2005", first_name="Odd", email="odd@people.example.com", unsubscribed="true"),
    contact("CID_2006", first_name="Ngozi", email="ngozi@people.example.com"),
)
CROWD = (  # for tests: people with hostile names and ids, and more than a page shows
    contact("CID_2007", first_name=HOSTILE, last_name=HOSTILE, email="h@people.example.com"),
    contact(HOSTILE, first_name="Robin", email="r@people.example.com"),
    *(
        contact(f"CID_{number}", first_name=name, email=f"{number}@people.example.com")
        for number, name in enumerate(["Ada", "Björn", "Chidi", "Dolores", "Emre"] * 11, 2100)
    ),
)


@contextmanager
def showroom(home: Path, days: int, crowd: Sequence[Person] = ()) -> Iterator[World]:
    """Run, or run again, an Airflow in ``home`` in which that many days were carried out.

    ``crowd`` are further contacts of the workflow in which things go wrong.
    """
    new = not (home / "segue.db").exists()
    last = datetime.now(UTC).date() - timedelta(days=2)
    if new:
        _write_definitions(home, last - timedelta(days=days + 2))
        generate(
            home / "include/sample/customers", first=last - timedelta(days=days), days=days + 1
        )
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({name: password for name, (_, password) in USERS.items()}))
    ledger = f"sqlite:///{home / 'segue.db'}"
    with Sandbox(folder=home / "sandbox") as sandbox:
        airflow = DrivenAirflow(
            home / "airflow",
            dags=home / "dags",
            environment={
                **connections(sandbox),
                "SEGUE_HOME": str(home / "include"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(home / "state"),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                    f"{name}:{role}" for name, (role, _) in USERS.items()
                ),
            },
            login={"username": "anna", "password": USERS["anna"][1]},
        )
        world = World(home, airflow, sandbox, ledger)
        if new:
            _write_renewals(world, last, crowd)
        with airflow:
            airflow.wait_for_dags(*SAMPLE, RENEWALS)
            if new:
                _run(world, last, days)
            yield world


def _write_definitions(home: Path, start: date) -> None:
    unused = shutil.ignore_patterns("__pycache__", "sample", "welcome_by_hand.py")
    shutil.copytree(ROOT / "dags", home / "dags", ignore=unused)
    shutil.copytree(ROOT / "include", home / "include", ignore=unused)
    for path in (home / "include/workflows").glob("*.yaml"):
        path.write_text(re.sub(r"(?m)^start: .*$", f"start: {start}", path.read_text()))


def _write_renewals(world: World, last: date, crowd: Sequence[Person]) -> None:
    before = contact("CID_2000", tier="gold", first_name="Wren")
    world.snapshot(RENEWALS, (last - timedelta(days=1)).isoformat(), [before])
    world.snapshot(RENEWALS, last.isoformat(), [before, *CONTACTS, *crowd])
    write_renewals_workflow(world, MAIL)


def write_renewals_workflow(world: World, mail: Mapping[str, Any]) -> None:
    """Define the workflow of renewals with this mail."""
    world.workflow(
        RENEWALS,
        [mail, ALERT],
        start=(datetime.now(UTC).date() - timedelta(days=9)).isoformat(),
        conditions={"field": "phone", "is_set": True},
        owner="sales",
        guard={"share": None, "shrunk_to": None},
        branches={"max": 2, "slice_size": 500},
    )


def _run(world: World, last: date, days: int) -> None:
    """Carry out the sample's days, and one of renewals whose mail server loses an answer."""
    airflow = world.airflow
    begun = datetime.now(UTC)
    first = f"{last - timedelta(days=days - 1)}T06:00:00Z"
    for name in SAMPLE:  # paused: on SQLite the scheduler would race for the runs being made
        airflow.backfill(name, first, f"{last}T06:00:00Z", conf={"deliver": True})
    world.sandbox.fault("smtp", "reset_after_effect", match="Tariq")
    airflow.unpause(RENEWALS)
    pair = {"previous": (last - timedelta(days=1)).isoformat(), "current": last.isoformat()}
    airflow.trigger(RENEWALS, pair)
    for name in SAMPLE:
        airflow.unpause(name)
    names = (*SAMPLE, RENEWALS)
    expected = days * len(SAMPLE) + 1
    for _ in airflow.wait_for_runs(*names, expected=expected, seconds=1200, after=begun):
        pass


def release(world: World) -> None:
    """Let segue_release run once more, as it does every five minutes."""
    world.airflow.unpause("segue_release")
    before = len([run for run in world.airflow.runs() if run["dag_id"] == "segue_release"])
    run_id = world.airflow.trigger("segue_release")
    states = world.airflow.finish("segue_release", expected=before + 1)
    assert states[run_id] == "success", states
    time.sleep(1)
