"""``segue init``: a small project that works, to be changed into one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.output import console, json_of, note
from segue.errors import SettingsError

_DAYS = (2, 1)  # of the snapshots, before today
_CONTACTS = {  # as they are in the first snapshot and in the second
    "C-1": ("Ann", "ann@example.com", "false", "gold", "gold"),
    "C-2": ("Łukasz", "lukasz@example.com", "false", "silver", "gold"),
    "C-3": ("雨桐", "yutong@example.com", "false", "silver", "gold"),
    "C-4": ("Dilek", "dilek@example.com", "true", "silver", "gold"),
    "C-5": ("Moana", "moana@example.com", "false", "silver", "silver"),
}
_SMTP = (
    '{"conn_type": "smtp", "host": "127.0.0.1", "port": 1025, '
    '"extra": {"disable_ssl": true, "disable_tls": true}}'
)


def init(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Where dags/ and include/ go; Airflow's home by default.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write DAG files, a directory with two snapshots, a segment, a workflow and editor settings.

    What is there already is kept as it is. Without FOLDER everything is where Airflow and Segue
    look by themselves; elsewhere, it says what to set.
    """
    from segue.settings import find_airflow_home

    airflow_home = find_airflow_home(os.environ)
    root = (folder or airflow_home).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise SettingsError(f"{root} is not a folder")
    today = datetime.now(UTC)
    for path, content in _project(today):
        target = root / path
        if target.exists():
            note(f"kept   {target}")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8", newline="\n")
        note(f"wrote  {target}")
    _say_what_next(root)


def _project(today: datetime) -> Iterator[tuple[str, str]]:
    """Yield each file's path below the project and its text."""
    from segue.cli.commands.schema import Kind
    from segue.cli.editor_schema import definition_schema

    days = [f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in _DAYS]
    source = files("segue.cli") / "new_project"
    for path, text in _texts(source, ""):
        yield path, text.replace("@START@", days[0])
    for number, day in enumerate(days):
        snapshot = f"include/snapshots/customers/{day}"
        yield f"{snapshot}/contacts.csv", _contacts(number)
        yield f"{snapshot}/_SUCCESS", ""
    for kind in Kind:
        schema = json_of(definition_schema(str(kind)), indent=2)
        yield f"include/.schemas/{kind}.schema.json", schema + "\n"


def _texts(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _texts(entry, f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield f"{prefix}{entry.name}", entry.read_text(encoding="utf-8")


def _contacts(number: int) -> str:
    lines = ["contact_id,first_name,email,opted_out,tier"]
    for contact, (name, email, opted_out, *tiers) in _CONTACTS.items():
        lines.append(",".join([contact, name, email, opted_out, tiers[number]]))
    return "\n".join(lines) + "\n"


def _say_what_next(root: Path) -> None:
    """Print what to set, where that is needed, and the next commands."""
    from segue.settings import Settings

    lines = []
    include = root / "include"
    if Settings.from_environment().home != include:
        lines += [
            f"export SEGUE_HOME={include}",
            "(here and in the API server: DAG files find include/ beside them by themselves;",
            f" {root / 'dags'} is to be Airflow's DAGs folder, or a bundle's)",
            "",
        ]
    if find_spec("aiosmtpd") is None:
        lines += ["For segue try and segue sandbox: pip install 'airflow-segue[sandbox]'", ""]
    lines += [
        "Next:",
        "  segue plan welcome_gold          # who would get what, without sending",
        "  segue try welcome_gold           # a real run that reaches nobody: what it sends",
        "  segue sandbox &                  # a mail server on this machine, inbox at :8090",
        "  airflow db migrate               # where this Airflow has not run yet",
        f"  AIRFLOW_CONN_SMTP_DEFAULT='{_SMTP}' \\",
        "    airflow dags test welcome_gold  # sends it there, once",
    ]
    for line in lines:
        console().print(line, soft_wrap=True)
