"""``segue forget``: erase what Segue holds of a contact."""

from __future__ import annotations

from typing import Annotated

import typer

from segue.cli.arguments import Yes
from segue.cli.output import confirm, count, note, working


def forget(
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="Id of the contact.")],
    yes: Yes = False,
) -> None:
    """Erase a contact for good; a keyed digest stays, so that it is never written to again."""
    from segue.cli.workspace import person, this_second, writing_ledger
    from segue.settings import Settings
    from segue.upkeep.forgetting import forget as erase

    settings = Settings.from_environment()
    with writing_ledger(settings) as ledger:
        number = len(ledger.queries.list_deliveries(contact_id=contact))
        note(f"{count(number, 'delivery', 'deliveries')} of this contact in the ledger")
        confirm("Erase the contact? This cannot be undone.", yes=yes)
        with working("Erasing"):
            erasure = erase(ledger, settings.state, contact, person(), this_second())
    rows = erasure.rows
    print("the contact is forgotten: nothing is ever sent to or about it. Erased from")
    for number, one, many in (
        (rows.deliveries, "delivery", "deliveries"),
        (rows.changes, "change", "changes"),
        (rows.requests, "request", "requests"),
        (erasure.run_areas, "run area", "run areas"),
        (erasure.memberships, "stored membership", "stored memberships"),
    ):
        print(f"  {count(number, one, many)}")
    note(
        "Not Segue's to erase: the snapshots, what vendors received, Airflow's logs and the labels "
        "of old tasks in its database"
    )
