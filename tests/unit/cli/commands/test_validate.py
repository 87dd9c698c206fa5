"""``segue validate``: every problem of every definition, where it stands and what is allowed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.cli.conftest import DIRECTORY, SEGMENT, WORKFLOW

MISTAKES = {
    ("segments", "duplicate"): (
        "segment: duplicate\ndirectory: customers\ndirectory: customers\n"
        "match: {field: tier, equals: gold}\n"
    ),
    ("segments", "unknown_key"): (
        "segment: unknown_key\ndirectory: customers\nmatsch: {}\n"
        "match: {field: tier, equals: gold}\n"
    ),
    ("segments", "operator"): (
        "segment: operator\ndirectory: customers\nmatch: {field: tier, equls: gold}\n"
    ),
    ("segments", "operand"): (
        "segment: operand\ndirectory: customers\nmatch: {field: tier, at_least: many}\n"
    ),
    ("segments", "field"): (
        "segment: field\ndirectory: customers\nmatch:\n  all:\n    - {field: teir, equals: gold}\n"
    ),
    ("workflows", "cron"): WORKFLOW.replace("welcome", "cron").replace("0 6 * * *", "0 25 * * *"),
    ("workflows", "channel"): (
        WORKFLOW.replace("welcome", "channel").replace("zendesk_ticket", "zendesk_tickt")
    ),
    ("workflows", "notifier"): (
        WORKFLOW.replace("welcome", "notifier")
        + "notify:\n  on_failure:\n    - {notifier: airflow.sdk.NoSuchNotifier, text: hi}\n"
    ),
    ("workflows", "segment"): (
        WORKFLOW.replace("welcome", "segment").replace("segment: gold", "segment: golden")
    ),
    ("workflows", "duration"): (
        WORKFLOW.replace("welcome", "duration").replace("max_age: null", "max_age: 2 days")
    ),
    ("workflows", "template"): (
        WORKFLOW.replace("welcome", "template").replace("{{ contact.phone }}", "{{ contact.phone")
    ),
    ("workflows", "cycle"): (
        WORKFLOW.replace("welcome", "cycle").replace("id: ticket", "id: ticket\n    after: alert")
    ),
    ("workflows", "results"): (
        WORKFLOW.replace("welcome", "results").replace("    after: ticket\n", "")
    ),
    ("workflows", "requester"): (
        WORKFLOW.replace("welcome", "requester").replace(
            'comment: "on', 'requester: {email: "{{ contact.email }}"}, comment: "on'
        )
    ),
    ("workflows", "mention"): (
        WORKFLOW.replace("welcome", "mention").replace("contact.phone", "contact.fone")
    ),
}
SIMPLE = """
workflow: welcome
segment: gold
changes: [added]
start: 2026-11-21
actions:
  - {id: alert, slack_message: {channel: "#gold", text: "{{ contact.contact_id }}"}}
"""
EXPECTED = [
    r"segments/duplicate\.yaml:3:1: directory: duplicate key 'directory'; it is on line 2 already",
    r"segments/unknown_key\.yaml:3:1: matsch: unknown key 'matsch'; allowed: .*'match'\?",
    r"segments/operator\.yaml:3:22: match\.equls: unknown operator 'equls'; .*'equals'\?",
    r"segments/operand\.yaml:3:22: match\.at_least: .*expected a number, found 'many'",
    r"segments/field\.yaml:5:8: match\.all\[0\]\.field: unknown field 'teir'.*'tier'\?",
    r"workflows/cron\.yaml:4:1: schedule: '0 25 \* \* \*' is not a cron expression; allowed: ",
    r"workflows/channel\.yaml:13:5: .*unknown channel 'zendesk_tickt'; .*'zendesk_ticket'\?",
    r"workflows/segment\.yaml:2:1: segment: there is no segment 'golden'; allowed: .*'gold'\?",
    r"workflows/duration\.yaml:16:12: policies\.max_age: '2 days' is not a duration; allowed: ",
    r"workflows/notifier\.yaml:19:\d+: notify\.on_failure\[0\]\.notifier: .*has no notifier 'NoS",
    r"workflows/template\.yaml:13:\d+: actions\[1\]\.zendesk_ticket\.comment: is not a valid temp",
    r"workflows/cycle\.yaml:9:5: actions\[0\]\.after: the action 'alert' comes after itself",
    r"workflows/cycle\.yaml:13:5: actions\[1\]\.after: the action 'ticket' comes after itself",
    r"workflows/results\.yaml:10:\d+: actions\[0\].*: results\.ticket is not there yet; allowed: ",
    r"workflows/requester\.yaml:13:5: .*\.audience: is missing: 'requester\.email' is a temp",
    r"workflows/mention\.yaml:13:\d+: .*contact has no field 'fone'; allowed: .*'phone'\?",
]


OWN_FIELDS = [  # what is written of an action or policy, and the field that it reads by itself
    ("{id: a, email: {subject: Hi, text: Hi}}", "{}", "actions[0].email", "email"),
    (
        "{id: a, text_message: {from: '+14155550100', text: Hi}}",
        "{}",
        "actions[0].text_message",
        "phone",
    ),
    (
        "{id: a, email: {to: a@example.com, subject: Hi, text: Hi}}",
        "{quiet_hours: {from: '21:00', to: '08:00', timezone_field: zone}}",
        "policies.quiet_hours.timezone_field",
        "zone",
    ),
]


@pytest.mark.parametrize("load", ["snapshot", "none"])
@pytest.mark.parametrize(("action", "policies", "place", "field"), OWN_FIELDS)
def test_a_field_that_is_read_without_a_template_must_be_there(
    segue, home, action, policies, place, field, load
):
    """Everybody would be ``skipped(no_address)``, or written to at the hours of one zone."""
    actions = SIMPLE[: SIMPLE.index("  - {id")] + f"  - {action}\n"
    home.define("workflows", "welcome", f"{actions}policies: {policies}\nload: {load}\n")
    for path in home.snapshots.glob("*/contacts.csv"):
        path.write_text(path.read_text().replace(",email,phone,", ",Mail,Telephone,", 1))
    answer = segue("validate")
    assert answer.code == 2
    assert f"{place}: contacts have no field '{field}'; allowed: " in answer.out
    assert "the directory's `columns` says so" in answer.out
    assert len(answer.lines) == 1


def test_healthy_definitions_are_counted(segue, home):
    answer = segue("validate")
    assert answer.code == 0
    assert answer.out == (
        f"1 directory, 1 segment, 1 workflow: no problem found in {home.include}\n"
    )
    assert answer.err == "fields checked against customers (2026-11-22)\n"


def test_every_mistake_of_a_folder_is_reported_at_once(segue, home):
    for (kind, name), text in MISTAKES.items():
        home.define(kind, name, text)
    answer = segue("validate")
    assert answer.code == 2
    unreported = [line for line in EXPECTED if not re.search(line, answer.out)]
    assert unreported == []
    assert len(answer.lines) == len(EXPECTED)
    assert answer.err.endswith(f"{len(EXPECTED)} problems found\n")


def test_problems_are_sorted_by_file_and_line(segue, home):
    for (kind, name), text in MISTAKES.items():
        home.define(kind, name, text)
    found = json.loads(segue("validate", "--format", "json").out)
    places = [(problem["file"], problem["line"], problem["column"]) for problem in found]
    assert places == sorted(places)


def test_files_below_the_working_directory_are_named_as_one_types_them(segue, home, monkeypatch):
    home.define("segments", "gold", "segment: silver\ndirectory: customers\nmatch: {}\n")
    monkeypatch.chdir(home.root)
    assert segue("validate").lines[0].startswith("include/segments/gold.yaml:3:1: match: ")


def test_json_has_a_problem_s_parts(segue, home):
    path = home.define(*("segments", "operator"), MISTAKES["segments", "operator"])
    answer = segue("validate", "--format", "json")
    assert answer.code == 2
    [problem] = json.loads(answer.out)
    assert list(problem) == ["file", "line", "column", "path", "message"]
    assert (problem["file"], problem["line"], problem["path"]) == (str(path), 3, "match.equls")


def test_without_a_snapshot_fields_are_not_checked_and_that_is_said(segue, home):
    home.define(*("segments", "field"), MISTAKES["segments", "field"])
    for key in ("2026-11-21", "2026-11-22"):
        (home.snapshots / key / "_SUCCESS").unlink()
    answer = segue("validate")
    assert answer.code == 0
    assert "fields are not checked: directory customers has no complete snapshot yet" in answer.err


@pytest.mark.parametrize(
    ("folders", "said", "is_mistake"),
    [
        (None, "does not exist", True),
        ([], "has no complete snapshot yet", False),
        (["2026-11-22/contacts.csv"], "2026-11-22 is not: no marker file _SUCCESS", False),
        (["2026-11-22/Contacts.csv"], "'Contacts.csv' is not read: expected contacts.par", True),
        (["2026-11-22/notes.txt"], "2026-11-22 is not: no contacts table", False),
        (["november/contacts.csv"], "the name of the folder 'november' is no key", True),
        (["2026-11-22/a", "ds=2026-11-22/a"], "are both snapshot 2026-11-22", True),
    ],
)
def test_why_there_is_no_snapshot_is_said_and_a_mistake_is_a_problem(
    segue, home, folders, said, is_mistake
):
    home.define("directories", "customers", DIRECTORY.replace("snapshots\n", "elsewhere\n"))
    if folders is not None:
        (home.include / "elsewhere").mkdir()
    for name in folders or ():
        path = home.include / "elsewhere" / name
        path.parent.mkdir(parents=True)
        path.write_text("contact_id\nc1\n")
    answer = segue("validate")
    assert said in (answer.out if is_mistake else answer.err)
    assert ("directories/customers.yaml:2:" in answer.out) == is_mistake
    assert answer.code == (2 if is_mistake else 0)


def test_a_storage_out_of_reach_is_no_mistake_of_the_definitions(segue, home):
    text = "directory: customers\nsnapshots: nosuch://bucket/customers\n"
    home.define("directories", "customers", text)
    answer = segue("validate")
    assert answer.code == 0
    assert "fields are not checked: directory customers: " in answer.err


@pytest.mark.parametrize(
    ("table", "columns", "row", "said"),
    [
        ("contacts", "contact_id,tier,HasOptedOut", "c1,gold,nein", "of 'HasOptedOut' that are no"),
        ("mailing_lists", "contact_id,mailing_list,opted_in", "c1,news,ja", "'opted_in' that are"),
        ("subscriptions", "contact_id,scope,opted_in", "c1,directory,nein", "'opted_in' that are"),
        ("subscriptions", "contact_id,scope,opted_in", "c1,directory,", "without 'opted_in'"),
    ],
)
def test_an_opt_state_that_is_none_is_a_problem(segue, home, table, columns, row, said):
    home.define("directories", "customers", f"{DIRECTORY}consent: {{opted_out: HasOptedOut}}\n")
    home.define("workflows", "welcome", SIMPLE)
    folder = home.snapshot("2026-11-22", "c1,gold,no\n", "contact_id,tier,HasOptedOut")
    assert segue("validate").code == 0
    (folder / f"{table}.csv").write_text(f"{columns}\n{row}\n")
    answer = segue("validate")
    assert answer.code == 2
    assert len(answer.lines) == 1, answer.out
    assert said in answer.out


@pytest.mark.parametrize("table", ["contacts", "transactions", "mailing_lists", "subscriptions"])
def test_another_separator_is_one_problem(segue, home, table):
    folder = home.snapshots / "2026-11-22"
    (folder / f"{table}.csv").write_text('contact_id;tier;"date"\nc1;"gold";x\n')
    answer = segue("validate")
    assert len(answer.lines) == 1, answer.out
    assert "its first line is separated by semicolons; expected commas" in answer.out


def test_declared_fields_go_before_the_snapshot_s(segue, home):
    declared = "fields: {contacts: [tier, phone, country, name, email, score]}\n"
    text = "directory: customers\nsnapshots: ../nowhere\n" + declared
    home.define("directories", "customers", text)
    match = "match: {all: [{field: score, at_least: 1}, {field: unsubscribed, is_set: true}]}\n"
    home.define("segments", "scored", f"segment: scored\ndirectory: customers\n{match}")
    answer = segue("validate")
    assert answer.code == 2
    assert len(answer.lines) == 1
    assert "unknown field 'unsubscribed' in contacts; allowed: contact_id, country" in answer.out


def test_declared_transactions_always_have_an_id_and_a_date(segue, home):
    declared = "fields: {contacts: [tier, phone, country, name, email], transactions: [type]}\n"
    text = "directory: customers\nsnapshots: ../nowhere\n" + declared
    home.define("directories", "customers", text)
    match = "match:\n  transactions: {where: {field: type, equals: a}}\n  count: {at_least: 1}\n"
    home.define("segments", "active", f"segment: active\ndirectory: customers\n{match}")
    assert segue("validate").code == 0


MANY = """\
workflow: many
segment: golden
changes: [aded]
schedule: "61 6 * * *"
start: 2026-13-01
oner: customer-success
conditions: {field: tier, equls: gold}
actions:
  - id: ticket
    after: alert
    zendesk_tickt: {subject: Hello, comment: Hello}
  - id: alert
    after: [ticket, nobody]
    if: {field: teir, equals: gold}
    slack_message: {channel: "#a", text: "{{ contact.first_nam }} {{ results.mail.id }}"}
  - id: mail
    email: {from: shop@example.com, subject: "{{ contact.tier", text: Hello}
policies: {max_age: 2 days}
guard: {share: 5}
"""

EVERY = [
    r":2:1: segment: there is no segment 'golden'; .*'gold'",
    r":3:11: changes\[0\]: found 'aded'; allowed: .*'added'",
    r":4:1: schedule: '61 6",
    r":5:1: start: '2026-13-01' is not a date",
    r":6:1: oner: unknown key 'oner'; .*'owner'",
    r":7:\d+: conditions\.equls: unknown operator",
    r":10:5: actions\[0\]\.after: the action 'ticket' comes after itself",
    r":11:5: actions\[0\]\.zendesk_tickt: unknown channel 'zendesk_tickt'; .*'zendesk_ticket'",
    r":13:5: actions\[1\]\.after: there is no action 'nobody'",
    r":15:\d+: actions\[1\]\.slack_message\.text: results\.mail is not there yet",
    r":17:\d+: actions\[2\]\.email\.subject: is not a valid template",
    r":18:\d+: policies\.max_age: '2 days' is not a duration",
    r":19:\d+: guard\.share: found 5; allowed: a share such as 5%",
]


def test_every_mistake_of_a_single_file_is_reported_at_once(segue, home):
    """Thirteen mistakes in one workflow: what can be read of a wrong file is checked further."""
    home.define("workflows", "many", MANY)
    answer = segue("validate")
    assert answer.code == 2
    assert [line for line in EVERY if not re.search("many.yaml" + line, answer.out)] == []
    assert "Traceback" not in answer.out + answer.err


def test_an_opt_state_that_is_not_read_is_a_problem_of_the_directory(segue, home):
    path = home.snapshots / "2026-11-22" / "contacts.csv"
    path.write_text(path.read_text().replace("unsubscribed", "opted_in", 1))
    answer = segue("validate")
    assert answer.code == 2
    assert "customers.yaml:2:1: snapshots: directory customers, snapshot 2026-11-22" in answer.out
    assert "'opted_in' looks like an opt state and is not read" in answer.out


def test_a_scope_that_nobody_knows_is_a_problem_of_the_directory(segue, home):
    rows = home.snapshots / "2026-11-22" / "subscriptions.csv"
    rows.write_text("contact_id,scope,opted_in\nc1,segment:gold,no\n")
    assert segue("validate").code == 0
    rows.write_text("contact_id,scope,opted_in\nc1,segment:old,no\n")
    assert "contact 'c1': 'segment:old'; allowed" in segue("validate").out
    rows.write_text("contact_id,opted_in\nc1,no\n")
    assert "there is no column 'scope'" in segue("validate").out


def test_lists_without_names_are_a_problem_of_the_segment(segue, home):
    rows = home.snapshots / "2026-11-22" / "mailing_lists.csv"
    rows.write_text("contact_id,opted_in\nc1,no\n")
    match = "match: {mailing_list: News, is: member}"
    home.define("segments", "news", f"segment: news\ndirectory: customers\n{match}\n")
    assert "unknown field 'mailing_list' in mailing_lists" in segue("validate").out
    answer = segue("members", "news")
    assert answer.code == 2
    assert "there is no column 'mailing_list'" in answer.err


def test_it_is_said_that_nothing_says_who_opted_out(segue, home):
    for path in home.snapshots.rglob("contacts.csv"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    answer = segue("validate")
    assert answer.code == 0
    assert "directory customers: nothing says who opted out" in answer.err
    path = home.include / "directories" / "customers.yaml"
    path.write_text(path.read_text() + "consent: none\n")
    assert "who opted out" not in segue("validate").err


def test_declared_fields_are_looked_at_too(segue, home):
    path = home.include / "directories" / "customers.yaml"
    fields = "fields: {contacts: [name, email, phone, tier, country, unsubscribed, opted_in]}\n"
    path.write_text(path.read_text() + fields)
    assert "fields.contacts: 'opted_in' looks like an opt state" in segue("validate").out
    path.write_text(path.read_text() + "consent: {not_opt_states: [opted_in]}\n")
    assert segue("validate").code == 0


def test_definitions_of_almost_the_right_place_are_told(segue, home):
    text = "segment: {name}\ndirectory: customers\nmatch: {{field: tier, equals: gold}}\n"
    places = ["segment/a.yaml", "Workflows/b.yaml", "segments/c.ymal", "e.yaml"]
    for place in places:
        path = home.include / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(name=path.name[0]))
    (home.include / "segments" / "f.YAML").write_text(text.format(name="f"))
    (home.include / "segments" / "README.md").write_text("x")
    answer = segue("validate")
    for place, said in (
        ("segment", "is not read; did you mean segments/?"),
        ("Workflows", "is not read; did you mean workflows/?"),
        ("segments/c.ymal", "is not read; allowed: a name in .yaml or .yml"),
        ("e.yaml", "is not read; definitions of its kind stand in segments/"),
    ):
        assert f"{place}: {said}" in answer.out
    assert len(answer.lines) == 4
    assert segue("members", "f").code == 0


def typed(home, **columns):
    """Write a snapshot of typed columns after the home's others."""
    folder = home.snapshots / "2026-11-24"
    folder.mkdir(parents=True)
    ids = {"contact_id": ["a", "b"], "unsubscribed": [False, False]}
    pq.write_table(pa.table({**ids, **columns}), folder / "contacts.parquet")
    (folder / "_SUCCESS").touch()
    return folder


SEGMENTS = {  # condition: what its problem says
    "{field: vip, equals: yes}": "write equals: true, or is_true: true (snapshot 2026-11-24)",
    "{field: vip, at_least: 1}": "contacts.vip holds booleans, and at_least reads numbers",
    "{field: age, in_past: 30d}": "contacts.age holds numbers, and in_past reads dates",
    "{field: seen, equals: 2026-11-20}": "write on_day: 2026-11-20",
    "{field: tags, not_contains: x}": "contacts.tags holds lists; allowed: is_empty, is_set",
    "{field: EmailAddress, is_set: true}": "call 'EmailAddress' of contacts 'email'; write that",
    "{field: EMAIL, is_set: true}": "did you mean 'email'?",
    "{field: contact.vip, is_true: true}": "did you mean 'vip'?",
    "{mailing_list: news, is: not_member}": "there are: 'Events', 'News'; did you mean 'News'?",
    "{field: amount, at_least: 5}": "2 of 2 values cannot be read as a number",
    "{field: age, at_least: 5, at_most: 3}": "of age never hold together: nobody meets this",
}


def test_conditions_are_held_against_what_the_newest_snapshot_holds(segue, home):
    mapped = DIRECTORY + "columns: {contacts: {email: EmailAddress}}\n"
    home.define("directories", "customers", mapped)
    for name in ("segments/gold", "workflows/welcome"):
        (home.include / f"{name}.yaml").unlink()
    folder = typed(
        home,
        EmailAddress=["x", "y"],
        vip=[True, False],
        age=[5, 6],
        seen=[datetime(2026, 11, 20, tzinfo=UTC)] * 2,
        tags=[["x"], []],
        amount=["$1,200.00", "£5"],
    )
    lists = {"contact_id": ["a", "b"], "mailing_list": ["News", "Events"]}
    pq.write_table(pa.table(lists), folder / "mailing_lists.parquet")
    for number, condition in enumerate(SEGMENTS):
        text = f"segment: s{number}\ndirectory: customers\nmatch: {condition}"
        home.define("segments", f"s{number}", text)
    result = segue("validate")
    assert result.code == 2
    lines = result.out.splitlines()
    for number, expected in enumerate(SEGMENTS.values()):
        places = (f"s{number}.yaml:3:", f"segment s{number}")
        mine = [line for line in lines if any(place in line for place in places)]
        assert len(mine) == 1, (number, lines)
        assert expected.split("; allowed")[0] in mine[0]
    assert "Traceback" not in result.err


def test_a_mailing_list_of_another_name_is_an_error_and_a_new_one_a_remark(segue, home):
    """A list that was made today has nobody on it yet; one that is nearly another is mistyped."""
    (home.include / "workflows" / "welcome.yaml").unlink()
    (home.include / "segments" / "gold.yaml").unlink()
    folder = typed(home)
    lists = {"contact_id": ["a", "b"], "mailing_list": ["Newsletter 2026", "Events"]}
    pq.write_table(pa.table(lists), folder / "mailing_lists.parquet")
    for name, is_slip in {
        "newsletter 2026": True,
        "Newsleter 2026": True,
        "Evnts": True,
        "Newsletter 2027": False,
        "Webinars": False,
    }.items():
        match = f"match: {{mailing_list: {name}, is: member}}\n"
        home.define("segments", "listed", f"segment: listed\ndirectory: customers\n{match}")
        answer = segue("validate")
        said = f"segments/listed.yaml:3:9: match.mailing_list: nobody is on a mailing list '{name}'"
        assert answer.code == (2 if is_slip else 0), (name, answer)
        assert said in (answer.out if is_slip else answer.err)
        assert ("did you mean" in answer.out) == is_slip


def test_a_list_in_a_workflow_s_conditions_may_be_new_too(segue, home):
    folder = typed(home)
    lists = {"contact_id": ["a"], "mailing_list": ["Events"]}
    pq.write_table(pa.table(lists), folder / "mailing_lists.parquet")
    conditions = "conditions: {mailing_list: Webinars, is: opted_in}"
    actions = "actions:\n  - {id: mail, email: {to: a@b.com, subject: Hi, text: Hi}}\n"
    head = "workflow: welcome\nsegment: gold\nchanges: [added]\nstart: 2026-11-21\n"
    home.define("workflows", "welcome", f"{head}{conditions}\n{actions}")
    home.define("segments", "gold", SEGMENT.replace("tier", "contact_id"))
    answer = segue("validate")
    assert "workflows/welcome.yaml:5:14: conditions.mailing_list: nobody is on" in answer.err
    assert answer.code == 0, answer


@pytest.mark.parametrize(
    ("schedule", "missing", "window", "remark"),
    [
        ("0 6 * * *", "fail", "in_past: 1d", None),
        ("0 6 * * *", "fail", "in_next: 12h", "up to 1 day apart, and in_next: 12h of the segment"),
        ("0 6 * * *", "skip", "anniversary_in_next: 1d", "skipped, are up to 2 days apart"),
        ("0 6 * * *", "skip", "in_past: 2d", None),
        ("0 6 * * 1", "fail", "anniversary_in_next: 6d", "up to 7 days apart"),
        ("0 6 * * 1-5", "fail", "in_past: 2d", "up to 3 days apart"),
        ("0 6 * * 1", "fail", "in_past: 30d, not_in_past: 29d", "in_past: 30d, not_in_past: 29d"),
        ("0 */6 * * *", "fail", "in_past: 6h", None),
        ("*/15 * * * *", "fail", "in_past: 10m", "up to 15 minutes apart"),
        ("0 6 * * *", "fail", "not_in_past: 1h", None),
    ],
)
def test_a_window_shorter_than_the_time_between_two_runs_is_remarked_on(
    segue, home, schedule, missing, window, remark
):
    match = f"match: {{field: name, {window}}}\n"
    home.snapshot("2026-11-22", "c1,2026-11-20,a@example.com,+1,gold,us,no\n")
    home.define("segments", "gold", f"segment: gold\ndirectory: customers\n{match}")
    text = WORKFLOW.replace("0 6 * * *", schedule)
    policies = f"policies: {{max_age: null, missing_snapshot: {missing}}}"
    home.define("workflows", "welcome", text.replace("policies: {max_age: null}", policies))
    answer = segue("validate")
    assert answer.code == 0, answer
    assert ("workflows/welcome.yaml:4:1: schedule: two runs" in answer.err) == (remark is not None)
    assert remark is None or remark in answer.err


def test_copies_of_definitions_are_named_and_no_error(segue, home):
    folder = home.include / "segments"
    text = (folder / "gold.yaml").read_text()
    copies = ["gold.yaml.txt", "gold.yml.bak", "old.YAML.orig", "gold.yaml~", "x.yaml.2026-11-30"]
    for name in [*copies, "README.md", "notes.txt", ".keep"]:
        (folder / name).write_text(text)
    answer = segue("validate")
    assert answer.code == 0, answer
    for name in copies:
        ending = name[name.rindex(".") :]
        said = f"{folder / name}: is not read, because its name ends in {ending}"
        assert said in answer.err
    assert answer.err.count("is not read") == len(copies)


def test_a_table_without_the_columns_it_must_have_is_a_problem_of_the_directory(segue, home):
    folder = typed(home)
    pq.write_table(pa.table({"contact_id": ["a"]}), folder / "subscriptions.parquet")
    (folder / "contacts.parquet").unlink()
    pq.write_table(pa.table({"CONTACT_ID": ["a"]}), folder / "contacts.parquet")
    result = segue("validate")
    assert result.code == 2
    assert "customers.yaml" in result.out
    for column in ("'contact_id'", "'scope'", "'opted_in'"):
        assert column in result.out


def test_two_columns_of_one_name_are_a_problem_of_the_directory(segue, home):
    home.define(
        "directories", "customers", DIRECTORY + "columns: {contacts: {email: EmailAddress}}\n"
    )
    typed(home, email=["x", "y"], EmailAddress=["x", "y"])
    result = segue("validate")
    assert result.code == 2
    assert "customers.yaml:4:1: columns: " in result.out
    assert "two columns are 'email'" in result.out


LETTER = """
workflow: letter
segment: tagged
changes: [added]
start: 2026-11-21
CONDITIONS
actions:
  - {id: alert, slack_message: {channel: "#a", text: "TEXT"}DIGEST}
"""
HIDDEN = {  # text, digest and conditions: how often the column is named
    ("{{ contact.mailing_lists }}", "", ""): 1,
    ("{{ contact.tags }}", "", "conditions: {field: mailing_lists, is_set: true}"): 1,
    ("{% for c in digest.contacts %}{{ c.change }}{% endfor %}", ", digest: true", ""): 1,
    ("{{ contact.change }}", "", ""): 0,
    ("{{ contact.tags }}", "", ""): 0,
}


def write_letter(home, text, digest="", conditions=""):
    """Write a workflow with one message, over a segment of its own and nothing else."""
    (home.include / "segments/gold.yaml").unlink(missing_ok=True)
    (home.include / "workflows/welcome.yaml").unlink(missing_ok=True)
    segment = "segment: tagged\ndirectory: customers\nmatch: {field: tags, equals: x}\n"
    home.define("segments", "tagged", segment)
    letter = LETTER.replace("TEXT", text).replace("DIGEST", digest)
    home.define("workflows", "letter", letter.replace("CONDITIONS", conditions))


def test_a_column_that_messages_cannot_see_is_not_named_in_vain(segue, home):
    """To conditions it would be the column, to templates what Segue calls so."""
    typed(home, mailing_lists=["x", "y"], change=["x", "y"], tags=["x", "y"])
    for (text, digest, conditions), count in HIDDEN.items():
        write_letter(home, text, digest, conditions)
        result = segue("validate")
        assert result.out.count("give the column another name") == count, result.out
        assert result.code == (2 if count else 0), result.out
    renamed = "columns: {contacts: {own_mailing_lists: mailing_lists}}\n"
    home.define("directories", "customers", DIRECTORY + renamed)
    text = "{{ contact.mailing_lists }} {{ contact.own_mailing_lists }}"
    write_letter(home, text)
    assert segue("validate").code == 0


def test_a_column_that_says_who_opted_in_is_what_templates_print(segue, home):
    """The fact that has its name is made of it."""
    home.define("directories", "customers", DIRECTORY + "consent: {opted_in: opted_in}\n")
    folder = typed(home)
    rows = {"contact_id": ["a"], "opted_in": [True], "tags": ["x"]}
    pq.write_table(pa.table(rows), folder / "contacts.parquet")
    text = "{{ contact.opted_in }}"
    write_letter(home, text)
    assert segue("validate").out.count("another name") == 0


def test_a_folder_that_cannot_be_read_is_a_problem(segue, home, monkeypatch):
    """Its definitions would be missing without a word; as root may read all, access is denied."""
    closed = home.include / "segments"
    monkeypatch.setattr("os.access", lambda path, mode: path != closed)
    answer = segue("validate")
    assert answer.code == 2
    assert f"{closed}: cannot be read: Permission denied" in answer.lines


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("workflows", "[added]", "added", "expected a list: [added], found 'added'"),
        ("workflows", "contact.contact_id", "Spend", "did you mean contact.Spend?"),
        ("workflows", "contact.contact_id", "contakt.tier", "did you mean 'contact'?"),
        (
            *("segments", "{field: tier, equals: gold}", "{Stage: customer}"),
            "of a field, write {field: Stage, equals: 'customer'}",
        ),
    ],
)
def test_what_was_nearly_right_is_told_as_it_is_written(segue, home, kind, old, new, said):
    home.define("workflows", "welcome", SIMPLE.replace(old, new))
    if kind == "segments":
        home.define(kind, "gold", SEGMENT.replace(old, new))
    answer = segue("validate")
    assert answer.code == 2
    assert said in answer.out


def test_where_no_date_can_be_read_it_is_said_how_dates_are_written(segue, home):
    home.define("workflows", "welcome", SIMPLE)
    home.define("segments", "gold", SEGMENT.replace("equals: gold", "in_past: 30d"))
    answer = segue("validate")
    assert answer.out.count("Dates are ISO 8601 (2026-11-22T17:03:00Z)") == 1


@pytest.mark.parametrize(("wrong", "code"), [(10, 0), (11, 2), (100, 2)])
def test_more_dates_of_transactions_than_a_run_stands_are_a_problem(segue, home, wrong, code):
    """Of a hundred; the run and the check draw the same line."""
    home.define("workflows", "welcome", SIMPLE)
    match = "match: {transactions: {}, count: {at_least: 1}}"
    home.define("segments", "gold", f"segment: gold\ndirectory: customers\n{match}\n")
    dates = ["31/12/2025"] * wrong + ["2026-11-20"] * (100 - wrong)
    rows = "".join(f"c1,{day}\n" for day in dates)
    for folder in home.snapshots.glob("2026-*"):
        (folder / "transactions.csv").write_text("contact_id,date\n" + rows)
    answer = segue("validate")
    assert answer.code == code
    told = answer.out if code else answer.err
    assert told.count("segment gold") == 1
    assert told.count("Dates are ISO 8601") == bool(code)
    assert segue("snapshots", "check", "customers", "2026-11-22").code == code


def test_a_column_in_which_hardly_a_value_is_text_is_a_problem(segue, home):
    """A run refuses to compare photos."""
    home.define("workflows", "welcome", SIMPLE)
    condition = "segment: gold\ndirectory: customers\nmatch: {field: photo, not_equals: x}\n"
    home.define("segments", "gold", condition)
    people = {"contact_id": [f"a{n}" for n in range(40)], "unsubscribed": [False] * 40}
    typed(home, **people, photo=[*[b"\xff\xd8"] * 39, b"x"])
    answer = segue("validate")
    assert answer.code == 2
    assert "segment gold" in answer.out


@pytest.mark.parametrize("written", ["nope", "5", "true"])
def test_a_word_where_a_word_or_a_mapping_may_stand_is_one_problem(segue, home, written):
    home.define("directories", "customers", DIRECTORY + f"consent: {written}\n")
    result = segue("validate")
    assert result.code == 2
    lines = [line for line in result.out.splitlines() if ": consent: " in line]
    assert len(lines) == 1
    assert "allowed: 'none' or a mapping" in lines[0]


@pytest.mark.parametrize("kind", ["directories", "segments", "workflows"])
def test_a_definition_in_the_folder_of_another_kind_is_one_problem(segue, home, kind):
    texts = {"directories": DIRECTORY, "segments": SEGMENT, "workflows": WORKFLOW}
    for other in {*texts} - {kind}:
        home.define(other, f"astray_{kind}", texts[kind])
    result = segue("validate")
    lines = [line for line in result.out.splitlines() if f"astray_{kind}.yaml" in line]
    assert len(lines) == 2, lines
    assert all(f"what it defines stands in {kind}/" in line for line in lines)


def test_fields_that_are_no_text_are_told(segue, home):
    home.define(
        "directories",
        "customers",
        DIRECTORY + "fields: {contacts: [{a: 1}, 5, contact_id]}\nconsent: {opted_in: [x]}\n",
    )
    result = segue("validate")
    assert result.code == 2
    assert "fields.contacts[0]: expected a valid string, found a mapping" in result.out


PROFILES = """
variables:
  tier: {type: text}
profiles:
  dev: {namespace: dev, variables: {tier: silver}}
  prod: {namespace: prod, variables: {tier: gold}, defaults: {guard: {share: 5}}}
"""


def test_every_profile_is_checked_and_one_on_request(segue, home, monkeypatch):
    (home.include / "segue.yaml").write_text(PROFILES)
    home.define("segments", "gold", SEGMENT.replace("equals: gold", "equals: '${tier}'"))
    result = segue("validate")
    assert result.code == 2
    [line] = result.out.splitlines()
    assert line.endswith("guard.share: found 5; allowed: a share such as 5% (profile prod)")
    dev = segue("validate", "--profile", "dev")
    assert dev.code == 0
    assert "profiles: dev" in dev.err
    assert segue("validate", "--profile", "prd").code == 2
    monkeypatch.setenv("SEGUE_PROFILE", "dev")
    monkeypatch.setenv("SEGUE_NAMESPACE", "prod")
    assert "the profile 'dev' is of the namespace 'dev'" in segue("validate").out


def test_a_lake_that_cannot_be_read_is_told_where_it_is_named(segue, home):
    pytest.importorskip("deltalake")
    lake = "directory: lake\nconsent: none\nlake: {format: delta, tables: {contacts: nowhere}}\n"
    home.define("directories", "lake", lake)
    answer = segue("validate")
    assert answer.code == 2
    assert "lake.yaml:3:1: lake: directory lake, contacts (" in answer.out + answer.err
    assert (
        "is no Delta table that can be read: it has no folder _delta_log" in answer.out + answer.err
    )
