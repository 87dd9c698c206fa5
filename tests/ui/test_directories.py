"""The page of a directory: which snapshots there are, how they were taken, and what is late."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import yaml
from sqlalchemy import StaticPool, create_engine, text

from segue.directory.definition import DirectoryDefinition
from segue.takes.database import opened
from segue.takes.moments import Moment
from segue.takes.take import take_snapshot
from tests.ui.filled import HOSTILE, day_key

PAGE = "/segue/directory?directory=welcome"


def write(place, **more) -> dict:
    """Write the directory anew."""
    folder = place / "snapshots" / "welcome"
    folder.mkdir(parents=True, exist_ok=True)
    directory = {"directory": "welcome", "snapshots": str(folder), "consent": "none", **more}
    (place / "include/directories/welcome.yaml").write_text(yaml.safe_dump(directory))
    return directory


def files(place, back: int, *contacts: str) -> None:
    """A snapshot that somebody else wrote."""
    folder = place / "snapshots" / "welcome" / day_key(back)
    folder.mkdir(parents=True)
    with (folder / "contacts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["contact_id"], *([each] for each in contacts)])


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


TAKE = {
    "connection": "shop",
    "start": "2026-01-01",
    "schedule": "30 0 * * *",
    "tables": {"contacts": "SELECT id AS contact_id FROM customers WHERE :as_of IS NOT NULL"},
}


def take(directory: dict, back: int) -> None:
    """Let Segue take a snapshot out of a database of three customers."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (id TEXT)"))
        connection.execute(text("INSERT INTO customers VALUES ('1'), ('2'), ('3')"))
    definition = DirectoryDefinition.model_validate(directory)
    as_of = datetime.fromisoformat(day_key(back - 1)).replace(tzinfo=UTC)
    moment = Moment(day_key(back), as_of)
    take_snapshot(
        definition,
        moment,
        lambda: opened(engine, definition.take.tables),
        remark=lambda _: None,
    )


def test_it_shows_what_was_taken_and_how(client, ledger, definitions, place):
    definitions("welcome")
    take(write(place, take=TAKE), 1)
    page = plain(client("una").get(PAGE).text)
    assert re.search(rf"{day_key(1)} .*complete 3 contacts .* MB 2 files .* in [0-9.]+ s", page)
    assert "taken by segue_take_welcome at 30 0 * * *" in page
    assert "Read by welcome ( welcome )" in page
    assert "Late" not in page


def test_what_its_schedule_should_have_taken_is_late(client, ledger, definitions, place):
    definitions("welcome")
    take(write(place, take=TAKE), 5)
    page = plain(client("una").get(PAGE).text)
    hour = datetime.now(UTC) - timedelta(hours=1, minutes=30)
    due = (hour - timedelta(days=1)).date().isoformat()
    assert f"Late: {due} , which segue_take_welcome should have taken" in page


def test_files_that_others_write_and_what_is_wrong_with_them(client, ledger, definitions, place):
    definitions("welcome")
    write(place, complete_marker="_SUCCESS")
    files(place, 2, "ann")
    (place / "snapshots" / "welcome" / day_key(2) / "_SUCCESS").touch()
    files(place, 1, "ann")
    now = datetime.now(UTC)
    ledger.people.quarantine("welcome", day_key(2), reason=HOSTILE, by="ann", now=now)
    answer = client("una").get(PAGE)
    page = plain(answer.text)
    assert HOSTILE not in answer.text
    assert HOSTILE in unescape(answer.text)
    assert re.search(rf"{day_key(1)} .*not complete .*_SUCCESS", page)
    assert re.search(rf"{day_key(2)} .*quarantined", page)
    assert "not by Segue" in page
    assert "files that others write" in page


@pytest.mark.parametrize("broken", ["no folder", "no snapshot", "a slip in the file"])
def test_what_cannot_be_read_is_told(client, ledger, definitions, place, broken):
    definitions("welcome")
    folder = write(place)["snapshots"]
    if broken == "no folder":
        write(place, snapshots=f"{folder}/nowhere")
    elif broken == "a slip in the file":
        (place / "include/directories/welcome.yaml").write_text("directory: welcome\nsnapshot: x\n")
    answer = client("una").get(PAGE)
    assert answer.status_code == 200
    told = {
        "no folder": "does not exist",
        "no snapshot": "There is no snapshot yet.",
        "a slip in the file": "snapshot",
    }
    assert told[broken] in plain(answer.text)


def test_only_who_may_read_a_workflow_on_it_sees_it(client, ledger, definitions, place):
    definitions("welcome")
    write(place)
    assert client(None).get(PAGE, follow_redirects=False).status_code in (302, 303, 307, 401)
    assert client("una").get("/segue/directory?directory=other").status_code == 403
