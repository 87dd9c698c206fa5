"""The segments' pages: sizes and changes over time, definitions, and who is in them and why."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
import yaml
from sqlalchemy import select

from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, Run, SpanKind
from segue.ledger.queries.sizes import Crossings, Size
from segue.ledger.schema import spans
from segue.ledger.stretches import Point, Stretch
from segue.web.segment_charts import age, course, is_late
from segue.workflows.catalog import Catalog
from tests.ui.filled import HOSTILE, day_key, record, span
from tests.unit.builders import set_secret

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


def write(place, name: str, directory: str = "welcome", **rule) -> None:
    """Write a segment anew."""
    data = {"segment": name, "directory": directory, **rule}
    (place / "include" / "segments" / f"{name}.yaml").write_text(yaml.safe_dump(data))


def recorded(ledger: Ledger, place, workflow: str, run: str, back: int, *contacts: str) -> None:
    fingerprint = Catalog(place / "include").resolve(workflow).fingerprint
    record(ledger, workflow, run, back, *contacts, definition=fingerprint)


def snapshot(place, back: int, *rows: dict[str, str]) -> None:
    folder = place / "snapshots" / "welcome" / day_key(back)
    folder.mkdir(parents=True)
    with (folder / "contacts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["contact_id", "first_name", "tier", "unsubscribed"])
        writer.writeheader()
        writer.writerows({"unsubscribed": "false", **row} for row in rows)
    (folder / "_SUCCESS").touch()


@pytest.fixture
def filled(ledger, definitions, place) -> Ledger:
    """Two days of ``welcome``, whose segment was edited in between, and two snapshots of it."""
    definitions("welcome")
    directory = {"directory": "welcome", "snapshots": str(place / "snapshots" / "welcome")}
    directory["complete_marker"] = "_SUCCESS"
    (place / "include/directories/welcome.yaml").write_text(yaml.safe_dump(directory))
    recorded(ledger, place, "welcome", "one", 2, "ann")
    write(place, "big", match={"field": "tier", "equals": "huge"})
    either = [{"field": "tier", "equals": "gold"}, {"segment": "big", "is": "member"}]
    write(place, "welcome", match={"any": either})
    recorded(ledger, place, "welcome", "two", 1, "bob", "carl")
    snapshot(place, 2, {"contact_id": "ann", "first_name": "Ann", "tier": "lead"})
    snapshot(
        place,
        1,
        {"contact_id": "ann", "first_name": "Ann", "tier": "gold", "unsubscribed": "true"},
        {"contact_id": HOSTILE, "first_name": HOSTILE, "tier": HOSTILE},
    )
    return ledger


def charts(text: str) -> list[dict]:
    return [json.loads(unescape(found)) for found in re.findall(r'data-chart="([^"]*)"', text)]


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


# ---- charts ------------------------------------------------------------------------------------


def test_a_day_has_the_size_of_its_last_snapshot_and_is_the_day_before_as_of():
    sizes = [
        Size("vip", "w", "2026-11-21", datetime(2026, 11, 22, tzinfo=UTC), 5),
        Size("vip", "w", "2026-11-22T09", datetime(2026, 11, 22, 9, tzinfo=UTC), 6),
        Size("vip", "w", "2026-11-22", datetime(2026, 11, 23, tzinfo=UTC), 8),
    ]
    found = course(sizes, [], NOW, 4)
    assert found.sizes == {
        "labels": ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24"],
        "series": [{"name": "members", "values": [5, 8, None, None]}],
    }
    assert found.growth == 3


def test_what_two_workflows_recorded_of_one_change_counts_once():
    """And two snapshots of one day are added up."""
    at = [datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in (8, 9)]
    seen = [
        Crossings("vip", "one", at[0], "added", 3),
        Crossings("vip", "one", at[1], "added", 4),
        Crossings("vip", "other", at[0], "added", 3),
        Crossings("vip", "other", at[1], "removed", 1),
    ]
    assert course([], seen, NOW, 5).total == {"added": 7, "removed": 1}


def sizes_of(*rows: tuple[int, int | None, int]) -> list[Size]:
    """Sizes of ``w`` on ``vip``: (day of November, members before, members)."""
    return [
        Size("vip", "w", "", datetime(2026, 11, day + 1, tzinfo=UTC), members, before)
        for day, before, members in rows
    ]


@pytest.mark.parametrize(
    ("kinds", "recorded", "told"),
    [
        (["added"], ("added", 2), {"added": 2, "removed": 8}),
        (["added", "opted_out"], ("added", 2), {"added": 2, "removed": 8}),
        (["added"], ("opted_out", 5), {"opted_out": 5, "removed": 6}),
        (["removed"], ("removed", 9), {"removed": 9, "added": 3}),
        (["added", "removed"], ("removed", 6), {"removed": 6}),  # both are on record
        (["opted_out"], ("opted_out", 5), {"opted_out": 5}),  # nobody knows who came and left
        ([], ("added", 2), {"added": 2}),
    ],
)
def test_who_left_is_told_by_the_sizes_where_no_workflow_acts_on_it(kinds, recorded, told):
    """30 members, 2 added, 24 members: 8 have left."""
    at = datetime(2026, 11, 23, tzinfo=UTC)
    seen = [Crossings("vip", "w", at, *recorded)]
    found = course(sizes_of((22, 30, 24)), seen, NOW, 5, kinds={"w": kinds})
    assert found.total == told
    assert found.told_by_sizes == set(told) - {recorded[0]}


def test_a_baseline_tells_of_nobody_and_growth_of_no_one_who_left():
    kinds = {"w": ["added"]}
    at = datetime(2026, 11, 23, tzinfo=UTC)
    seen = [Crossings("vip", "w", at, "added", 4)]
    assert course(sizes_of((22, None, 24)), seen, NOW, 5, kinds=kinds).total == {"added": 4}
    assert course(sizes_of((22, 20, 24)), seen, NOW, 5, kinds=kinds).total == {"added": 4}
    assert course(sizes_of((22, 20, 23)), [], NOW, 5, kinds=kinds).total == {}


def test_two_workflows_that_tell_of_the_same_leavers_count_once():
    at = datetime(2026, 11, 23, tzinfo=UTC)
    sizes = [*sizes_of((22, 30, 24)), Size("vip", "other", "", at, 24, 30)]
    seen = [Crossings("vip", "w", at, "added", 2), Crossings("vip", "other", at, "removed", 8)]
    kinds = {"w": ["added"], "other": ["removed"]}
    found = course(sizes, seen, NOW, 5, kinds=kinds)
    assert found.total == {"added": 2, "removed": 8}
    assert found.told_by_sizes == set()


def test_a_directory_is_late_after_twice_its_usual_time():
    sizes = [Size("vip", "w", "", NOW - timedelta(hours=back), 1) for back in (5, 4, 3)]
    assert is_late(sizes, sizes[-1], NOW)
    assert not is_late(sizes, sizes[-1], NOW - timedelta(hours=1))


@pytest.mark.parametrize(
    ("back", "words"),
    [(59, "just now"), (60, "1 minute ago"), (7200, "2 hours ago"), (86400 * 11, "11 days ago")],
)
def test_an_age_is_said_in_its_largest_unit(back, words):
    assert age(NOW - timedelta(seconds=back), NOW) == words


# ---- pages -------------------------------------------------------------------------------------


def test_the_list_draws_sizes_and_changes_from_the_ledger_alone(client, filled, place):
    """The snapshots are not even there."""
    for folder in (place / "snapshots" / "welcome").iterdir():
        folder.rename(place / folder.name)
    text = client("vera").get("/segue/segments").text
    sizes, crossings = charts(text)
    assert sizes["series"] == [{"name": "members", "values": [None] * 27 + [12, 12, None]}]
    assert crossings["series"] == [{"name": "added", "values": [0] * 27 + [1, 2, 0]}]
    assert day_key(1) in text


def test_segments_without_a_run_are_listed_and_searched(client, ledger, definitions):
    definitions("welcome")
    definitions("vip")
    text = client("vera").get("/segue/segments").text
    assert text.count("counts its members for the first time") == 2
    found = client("vera").get("/segue/segments?search=VI").text
    assert 'segment=vip"' in found
    assert 'segment=welcome"' not in found
    assert "No segment has “x” in its name" in client("vera").get("/segue/segments?search=x").text


def test_the_page_shows_the_definition_and_what_was_edited_when(client, filled):
    text = client("vera").get("/segue/segment?segment=welcome").text
    assert '<span class="rule">any of</span>' in text
    assert '<span class="rule">tier: equals gold</span>' in text
    assert '<a href="/segue/segment?segment=big">big</a>' in text
    assert '<span class="gained">+any of</span>' in text
    assert '<span class="lost">-tier: equals gold</span>' in text
    assert f"first used for {day_key(1)}" in text
    assert "The earliest that is known" in text


def test_an_edit_of_the_workflow_alone_is_no_edit_of_the_segment(client, filled, place):
    page = "/segue/segment?segment=welcome"
    before = client("vera").get(page).text.count("<strong>Edited</strong>")
    run, again = Run("welcome", "three"), span(0, "dora")
    resolved = Catalog(place / "include").resolve("welcome")
    changed = json.loads(resolved.fingerprint[1])
    changed["workflow"]["owner"] = "somebody else"
    definition = ("f" * 64, json.dumps(changed))
    filled.runs.record_spans(
        run, [again], ["mail"], definition, datetime.now(UTC), recorded_only=False
    )
    assert client("vera").get(page).text.count("<strong>Edited</strong>") == before == 1


def test_a_segment_that_is_gone_still_has_its_course(client, filled, place):
    (place / "include/segments/welcome.yaml").unlink()
    (place / "include/workflows/welcome.yaml").unlink()
    answer = client("vera").get("/segue/segment?segment=welcome")
    assert answer.status_code == 200
    assert "not defined any more" in answer.text
    assert charts(answer.text)


def test_a_directory_that_cannot_be_listed_is_said(client, filled, place):
    (place / "snapshots" / "welcome").rename(place / "elsewhere")
    answer = client("vera").get("/segue/segment?segment=welcome")
    assert answer.status_code == 200
    assert "does not exist" in answer.text


def explained(client, who: str, contact: str, **query: str):
    query = {"segment": "welcome", "contact": contact, **query}
    return client(who).get("/segue/segment/explain", params=query)


def test_membership_is_explained_at_two_dates(client, filled):
    answer = explained(client, "una", "ann", at=day_key(1), **{"from": day_key(2)})
    assert answer.status_code == 200
    before, now = re.findall(r'<section class="verdict".*?</section>', answer.text, re.DOTALL)
    assert "not in welcome" in plain(before)
    assert "it is lead" in plain(before)
    assert "opted in" in plain(before)
    assert "in welcome" in plain(now)
    assert "not in welcome" not in plain(now)
    assert "✓ holds: tier: equals gold it is gold" in plain(now)
    assert "opted out" in plain(now)


def test_without_a_date_it_is_the_newest_snapshot(client, filled):
    assert f"at {day_key(1)}" in plain(explained(client, "una", "ann").text)


def test_a_hostile_contact_is_text(client, filled):
    text = explained(client, "una", HOSTILE).text
    assert "not in welcome" in plain(text)
    assert "<img" not in text


def test_who_is_not_there_and_what_is_no_date_are_said(client, filled):
    assert "not in the directory" in explained(client, "una", "nobody").text
    missing = explained(client, "una", "ann", at="2020-01-01")
    assert missing.status_code == 404
    assert f"there are 2: from {day_key(2)} to {day_key(1)}" in missing.text
    wrong = explained(client, "una", "ann", at="yesterday")
    assert "&#39;yesterday&#39; is not a snapshot key" in wrong.text


def test_a_python_segment_is_not_run_in_the_api_server(client, filled, place):
    (place / "include/segments/rule.py").write_text("def members(tables):\n    raise SystemExit\n")
    write(place, "welcome", python="rule.py:members")
    answer = explained(client, "una", "ann")
    assert answer.status_code == 503
    assert "segue explain welcome CONTACT" in answer.text


def by_the_run(client, **query: str):
    return explained(client, "una", "ann", at=day_key(1), workflow="welcome", **query)


def test_why_is_answered_by_the_definition_of_the_run(client, filled, place):
    """Edited since, it would deny what happened; it is said, and today's is a click away."""
    before = {"from": day_key(2)}
    same = plain(by_the_run(client, **before).text)
    assert "the definition that the run used, which is the same now" in same
    assert "edited since" not in same
    write(place, "welcome", match={"field": "tier", "equals": "platinum"})
    answer = by_the_run(client, **before)
    text = plain(answer.text)
    assert f"in welcome at {day_key(1)}" in text
    assert "✓ holds: tier: equals gold it is gold" in text
    assert "platinum" not in text
    assert "The definition was edited since" in text
    by_now = unescape(re.search(r'href="([^"]+)">By the definition as it is now', answer.text)[1])
    text = plain(client("una").get(by_now).text)
    assert f"not in welcome at {day_key(1)}" in text
    assert "tier: equals platinum" in text
    assert f"not in welcome at {day_key(1)}" in plain(explained(client, "una", "ann").text)


def test_why_of_a_change_is_not_answered_by_a_later_enrolments_definition(client, filled, place):
    """An enrolment at the same snapshot compares nothing, and may judge by an edited segment."""
    write(place, "welcome", match={"field": "tier", "equals": "platinum"})
    definition = Catalog(place / "include").resolve("welcome").fingerprint
    end = span(1).stretch.current
    enrolment = DetectedSpan(
        SpanKind.ENROLMENT, "", Stretch(end, end), None, "x", None, 1, [("ann", "enrolled", "")]
    )
    run, now = Run("welcome", "enrol"), datetime.now(UTC)
    filled.runs.record_spans(run, [enrolment], ("mail",), definition, now, recorded_only=False)
    text = plain(by_the_run(client, **{"from": day_key(2)}).text)
    assert "✓ holds: tier: equals gold it is gold" in text
    assert "platinum" not in text
    assert "equals platinum" in plain(by_the_run(client).text)


def test_nothing_of_who_was_forgotten_is_explained(client, filled, monkeypatch):
    """Nor of anybody, where nobody can tell who was."""
    secret = "a long random text " * 3
    set_secret(filled, secret)
    filled.retention.forget("ann", "una", datetime.now(UTC))
    answer = explained(client, "una", "ann", at=day_key(1))
    assert answer.status_code == 503
    assert "gold" not in answer.text
    monkeypatch.setenv("SEGUE_SECRET", secret)
    answer = explained(client, "una", "ann", at=day_key(1))
    assert answer.status_code == 404
    assert "was forgotten" in answer.text
    assert "gold" not in answer.text
    assert explained(client, "una", HOSTILE, at=day_key(1)).status_code == 200


def test_what_a_segment_referred_to_is_judged_as_it_was_then(client, filled, place):
    write(place, "big", match={"field": "tier", "equals": "gold"})
    text = plain(by_the_run(client).text)
    assert "✗ does not hold: tier: equals huge it is gold" in text
    assert "edited since" in text


@pytest.mark.parametrize("now", ["gone", "broken", "python"])
def test_a_definition_that_is_no_more_still_explains_its_run(client, filled, place, now):
    file = place / "include/segments/welcome.yaml"
    if now == "gone":
        file.unlink()
    elif now == "broken":
        file.write_text("segment: [\n")
    else:
        (place / "include/segments/rule.py").write_text("def members(tables):\n    exit()\n")
        write(place, "welcome", python="rule.py:members")
    text = plain(by_the_run(client).text)
    assert f"in welcome at {day_key(1)}" in text
    assert "edited since" in text


def test_a_recorded_definition_that_cannot_be_read_is_said(client, filled, monkeypatch):
    from segue.ledger.schema import definitions

    with filled.engine.begin() as connection:
        for digest, body in connection.execute(
            select(definitions.c.hash, definitions.c.body)
        ).all():
            changed = body.replace('"equals":"gold"', '"equals_of_old":"gold"')
            row = definitions.update().where(definitions.c.hash == digest)
            connection.execute(row.values(body=changed))
    text = plain(by_the_run(client).text)
    assert "cannot be read any more" in text
    assert "by the definition as it is now" in text


def test_the_run_s_definition_is_for_who_may_read_its_workflow(client, filled, only_reads):
    definition = explained(client, "una", "ann", workflow="nothing")
    assert definition.status_code == 200  # it judged nothing: today's definition
    only_reads("welcome")
    assert explained(client, "una", "ann", workflow="nothing").status_code == 403


def test_a_contact_s_page_leads_to_the_run_s_definition_and_says_what_is_not_on_record(
    client, filled
):
    text = client("una").get("/segue/contact?id=bob").text
    assert f"at={day_key(1)}&amp;from={day_key(2)}&amp;workflow=welcome" in text
    assert "leaving it is not on record" in text
    assert 'href="/segue/segment/explain?segment=welcome&amp;contact=bob">Is it in it now?' in text


def test_leaving_is_on_record_where_a_workflow_acts_on_it(client, filled, definitions):
    definitions("welcome", changes=["added", "removed"])
    assert "not on record" not in client("una").get("/segue/contact?id=bob").text


def test_the_chart_says_what_is_told_by_the_sizes(client, filled, place):
    """bob and carl came, and the segment did not grow: two have left."""
    with filled.engine.begin() as connection:
        connection.execute(spans.update().values(current_size=10))
    text = client("vera").get("/segue/segment?segment=welcome").text
    _, crossings = charts(text)
    assert [item["name"] for item in crossings["series"]] == ["added", "removed"]
    assert crossings["series"][1]["values"][-3:] == [1, 2, 0]
    assert "no workflow acts on who was removed: told by the sizes" in text


# ---- days --------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati", "UTC"])
def test_a_workflow_and_its_segment_have_the_days_of_the_directory(
    client, ledger, definitions, place, zone
):
    """A snapshot of the 22nd in Los Angeles ends at 08:00 of the 23rd in Greenwich."""
    definitions("welcome")
    directory = {"directory": "welcome", "snapshots": str(place / "x"), "timezone": zone}
    (place / "include/directories/welcome.yaml").write_text(yaml.safe_dump(directory))
    day = datetime.now(ZoneInfo(zone)).date() - timedelta(days=3)
    ends = [
        datetime.combine(day + timedelta(days=more), datetime.min.time(), ZoneInfo(zone))
        for more in (0, 1)
    ]
    points = [Point(at.astimezone(UTC), (at - timedelta(days=1)).date().isoformat()) for at in ends]
    change = DetectedSpan(
        SpanKind.CHANGES, "", Stretch(*points), "p", "c", 10, 11, [("ann", "added", "")]
    )
    fingerprint = Catalog(place / "include").resolve("welcome").fingerprint
    ledger.runs.record_spans(
        Run("welcome", "one"), [change], ["mail"], fingerprint, NOW, recorded_only=False
    )
    vera = client("vera")
    (outcomes,) = charts(vera.get("/segue/workflow?workflow=welcome").text)
    sizes, crossings = charts(vera.get("/segue/segment?segment=welcome").text)
    for chart in (outcomes, crossings):
        values = dict(zip(chart["labels"], chart["series"][0]["values"], strict=True))
        assert [label for label, value in values.items() if value] == [day.isoformat()]
    assert sizes["labels"] == crossings["labels"] == outcomes["labels"]
    for path in ("workflow?workflow=welcome", "segment?segment=welcome"):
        assert f"({zone})" in vera.get(f"/segue/{path}").text
    (item,) = vera.get("/segue/api/v1/workflows").json()["items"]
    assert sum(item["outcomes"].values()) == 1


# ---- rights ------------------------------------------------------------------------------------


def test_asking_about_a_contact_needs_the_stronger_right(client, filled):
    assert explained(client, "vera", "ann").status_code == 403
    assert "SEGUE_UI_CONTACTS" in client("vera").get("/segue/segment?segment=welcome").text


def test_a_segment_is_seen_by_who_may_read_a_workflow_on_it(
    client, filled, definitions, only_reads, place
):
    """One that another refers to, too; one without workflows by who may read everything."""
    definitions("secret")
    write(place, "lonely", "secret", match={"field": "tier", "equals": "gold"})
    vera = client("vera")
    assert all(f"segment={name}" in vera.get("/segue/segments").text for name in ("lonely", "big"))
    only_reads("welcome")
    text = vera.get("/segue/segments").text
    assert "segment=welcome" in text
    assert "segment=big" in text
    assert "segment=secret" not in text
    assert "segment=lonely" not in text
    for name in ("secret", "lonely", "nothing"):
        assert vera.get(f"/segue/segment?segment={name}").status_code == 403
        assert explained(client, "anna", "ann", segment=name).status_code == 403
    assert vera.get("/segue/segment?segment=big").status_code == 200


def test_a_segment_that_does_not_exist_is_a_404_to_who_may_read_everything(client, filled):
    assert client("vera").get("/segue/segment?segment=nothing").status_code == 404


@pytest.mark.parametrize("what", ["link", "folder"])
def test_a_definition_that_is_no_file_breaks_no_page_and_is_gone_with_it(
    client, ledger, definitions, place, what
):
    """As a checkout leaves it half way, or a link of a release that was deleted."""
    definitions("welcome")
    path = place / "include" / "segments" / "odd.yaml"
    path.mkdir() if what == "folder" else path.symlink_to(place / "nothing.yaml")
    una = client("una")
    answer = una.get("/segue/segment?segment=odd")
    assert answer.status_code == 200
    assert "segments/odd.yaml" in answer.text
    path.rmdir() if what == "folder" else path.unlink()
    assert una.get("/segue/segment?segment=odd").status_code == 404
    assert "odd" not in una.get("/segue/segments").text
