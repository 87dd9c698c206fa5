"""``segue export``: append what has changed in the ledger to Parquet files or to tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.output import count, note, working

if TYPE_CHECKING:
    from segue.upkeep.exports.export import Destination

_UNKNOWN = (
    "the command line sees the connections of environment variables and of a secrets backend, and "
    "none that is stored in Airflow's database; the DAG segue_export sees all"
)


def export(
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="PLACE",
            help="A folder, a URL such as s3://…, or airflow://conn_id; SEGUE_EXPORT by default.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DURATION",
            help="Of a place's first export: leave out what changed longer ago: 90d.",
        ),
    ] = None,
) -> None:
    """Append runs, spans, changes and deliveries that changed since the last export to a place."""
    from segue.cli.workspace import ago, writing_ledger
    from segue.errors import SettingsError
    from segue.settings import Settings
    from segue.upkeep.exports import export as exporting

    settings = Settings.from_environment()
    place = to or settings.export
    if not place:
        raise SettingsError("where to? give --to PLACE, or set SEGUE_EXPORT")
    try:
        begin = ago(since) if since else None
    except ValueError as error:
        raise SettingsError(f"--since: {error}") from None
    destination = _destination(place)
    with writing_ledger(settings) as ledger, working("Exporting"):
        outcome = exporting.export(ledger, destination, datetime.now(UTC), begin)
    if outcome.number is None:
        print(f"nothing has changed since the last export to {destination.address}")
        return
    print(f"export {outcome.number} to {destination.address}:")
    for table, rows in outcome.rows.items():
        print(f"  {table:<12}{rows:>12,}")
    if outcome.erasures:
        note(f"of forgotten contacts, {count(outcome.erasures, 'row')} were taken out")
    if outcome.is_whole and outcome.had_earlier:
        note(
            "everything was exported once more, as the ledger was put back from a backup or on "
            "another server; the newest row of each key still holds"
        )


def _destination(place: str) -> Destination:
    from segue.settings import AIRFLOW

    if place.startswith(AIRFLOW):
        from segue.operators.databases import database_destination  # brings Airflow

        return database_destination(place, _UNKNOWN)
    from segue.upkeep.exports.parquet_folder import ParquetFolder

    return ParquetFolder(place)
