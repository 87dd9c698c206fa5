"""``python -m tests.benchmarks.scheduler``: slices beside one mapped task per contact.

Two runs of one workflow on a real scheduler, with the sandbox counting what arrives: many contacts
in slices, then a hundred contacts with a branch each. Written to SCHEDULER.md.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import datetime
from pathlib import Path

from segue.demo.run import connections
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import TICKET, World, contact
from tests.benchmarks.report import facts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SINGLE = 100
SLICE = 500
TEXT = """# Slices beside one branch per contact

Written by `python -m tests.benchmarks.scheduler`. One workflow with one Zendesk ticket per contact
on Airflow's own scheduler (LocalExecutor, SQLite), to the sandbox on loopback; from the start of
the run to its end. One run each.

| run | contacts | branches | seconds | per contact |
|---|---:|---:|---:|---:|
| slices of {slice_size} | {many:,} | {slices} | {sliced:.0f} | {sliced_each:.1f} ms |
| a branch per contact | {single} | {single} | {alone:.0f} | {alone_each:.0f} ms |

A contact in a slice costs {factor:.0f} times less time.

Machine: {machine}. {versions}. {day}.
"""


def main() -> None:
    """Run both, and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scheduler", description=__doc__
    )
    parser.add_argument("--count", type=int, default=10_000, help="contacts of the sliced run")
    parser.add_argument("--output", default=str(HERE), help="folder of SCHEDULER.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segue-benchmark-") as folder:
        sliced, alone = measure(Path(folder), arguments.count)
    written = TEXT.format(
        many=arguments.count,
        single=SINGLE,
        slices=-(-arguments.count // SLICE),
        slice_size=SLICE,
        sliced=sliced,
        alone=alone,
        sliced_each=sliced / arguments.count * 1000,
        alone_each=alone / SINGLE * 1000,
        factor=(alone / SINGLE) / (sliced / arguments.count),
        **facts(),
    )
    (Path(arguments.output) / "SCHEDULER.md").write_text(written)
    print(written)


def measure(home: Path, count: int) -> tuple[float, float]:
    """Return the seconds of the sliced run and of the run with a branch per contact."""
    ledger = f"sqlite:///{home / 'segue.db'}"
    with Sandbox() as sandbox:
        environment = connections(sandbox)
        name = "AIRFLOW_CONN_ZENDESK_DEFAULT"
        environment[name] = environment[name][:-1] + ', "extra": {"segue_rate": "none"}}'
        airflow = DrivenAirflow(
            home / "airflow",
            dags=ROOT / "dags",
            environment={
                **environment,
                "SEGUE_HOME": str(home / "include"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(home / "state"),
            },
        )
        world = World(home, airflow, sandbox, ledger)
        define(world, "sliced", count)
        define(world, "alone", SINGLE)
        with airflow:
            airflow.wait_for_dags("sliced", "alone")
            return seconds_of(world, "sliced", count), seconds_of(world, "alone", SINGLE)


def define(world: World, name: str, count: int) -> None:
    people = [f"{name}{number:06}" for number in range(count)]
    world.snapshot(name, "2026-11-01", [contact(person, tier="silver") for person in people])
    world.snapshot(name, "2026-11-02", [contact(person) for person in people])
    everybody = {"at_most": None, "share": None}
    slices = {"max": SINGLE, "slice_size": SLICE}
    world.workflow(name, [TICKET], branches=slices, guard=everybody)


def seconds_of(world: World, name: str, count: int) -> float:
    """Run the pair of days, count what arrived, and return how long the run took."""
    world.airflow.unpause(name)
    conf = {"previous": "2026-11-01", "current": "2026-11-02"}
    run_id = world.airflow.trigger(name, conf)
    state = world.airflow.finish(name, seconds=1800)[run_id]
    received = world.received(name).total()
    if (state, received) != ("success", count):
        raise SystemExit(f"{name}: the run is {state}, {received} of {count} tickets arrived")
    [run] = world.airflow.runs(name)
    begin, end = (datetime.fromisoformat(run[key]) for key in ("start_date", "end_date"))
    return (end - begin).total_seconds()


if __name__ == "__main__":
    main()
