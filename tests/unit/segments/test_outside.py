"""Segments that a Python function or an imported table decides."""

from __future__ import annotations

import jsonschema
import pytest

from segue.contacts.change import Change
from segue.delivery.steps import current_consent
from segue.errors import DataError, DefinitionError
from segue.segments.definition import SegmentDefinition
from segue.segments.explanation import contact_verdict
from segue.segments.membership.changes import segment_changes
from segue.segments.membership.store import MembershipStore, membership_key, missing_for
from tests.unit.segments.home import LATER, Home

WORKFLOW = """
workflow: greet
segment: imported
changes: [added]
start: 2026-11-01
actions: [{id: note, slack_message: {channel: c, text: x}}]
"""


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path)
    found.snapshot(
        "2026-11-22",
        contacts="contact_id,tier,unsubscribed a,gold,no b,gold,yes c,silver,no 007,,no",
        transactions="contact_id,date,amount a,2026-11-22,5 a,2026-11-23,100 c,2026-11-01,7",
    )
    return found


def python(home, body, name="rules.py"):
    home.write(name, f"import pandas as pd\n\n\ndef members(at):\n    {body}\n")
    home.segment("decided", f"python: ../{name}:members")


def imported(home, rows, key="2026-11-22", **keys):
    home.write(f"imports/{key}.csv", rows.replace(" ", "\n") + "\n")
    extra = "".join(f", {name}: {value}" for name, value in keys.items())
    home.segment("imported", f"imported: {{path: '../imports/{{key}}.csv'{extra}}}")


def messages(home, name):
    with pytest.raises(DefinitionError) as raised:
        home.catalog.segment(name)
    return [str(problem).replace(f"{home.root}/", "") for problem in raised.value.problems]


# Definitions


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ("description: x", "", "the key 'match' is missing; a segment has exactly one of match"),
        (
            "match: {field: a, is_set: true}\npython: ../r.py:members",
            "python",
            "match and python together",
        ),
        ("python: rules", "python", "allowed: rules/vip.py:members"),
        ("python: ../none.py:members", "python", "none.py cannot be read: No such file"),
        ("python: ../broken.py:members", "python", "is not Python"),
        ("python: ../r.py:membrs", "python", "has no function 'membrs'; did you mean 'members'?"),
        ("python: no.such.module:members", "python", "there is no module 'no.such.module'"),
        (
            "imported: {path: ../x.csv}",
            "imported.path",
            "has {key} where the snapshot's key stands",
        ),
        ("python: os:getcwd", "python", "the module 'os' has no file of Python's"),
        ("imported: {path: '../{key}.xlsx'}", "imported.path", "allowed: a name in .parquet, .csv"),
        ("imported: {path: '{key}.csv', columns: {id: x}}", "imported.columns", "contact_id"),
        ("imported: {paths: '{key}.csv'}", "imported", "'path'"),
    ],
)
def test_a_mistake_is_explained_where_it_stands(home, body, path, words):
    home.write("r.py", "def members(at):\n    return []\n")
    home.write("broken.py", "def members(:\n")
    home.segment("wrong", body)
    found = messages(home, "wrong")
    assert any(words in message and path in message for message in found), found
    assert all(message.startswith("segments/wrong.yaml:") for message in found)


def test_the_schema_wants_exactly_one_way():
    validator = jsonschema.Draft202012Validator(SegmentDefinition.model_json_schema())
    one = {"segment": "a", "directory": "b", "python": "r.py:f"}
    assert validator.is_valid(one)
    assert not validator.is_valid({"segment": "a", "directory": "b"})
    assert not validator.is_valid({**one, "match": {"field": "x", "is_set": True}})


def test_reading_a_definition_does_not_run_its_function(home):
    home.write("rules.py", "raise RuntimeError\n\n\ndef members(at):\n    return []\n")
    home.segment("decided", "python: ../rules.py:members")
    home.catalog.segment("decided")
    with pytest.raises(DataError, match="RuntimeError"):
        home.ids("decided")


# Python


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return ['c', 'a', 'a']", ["a", "c"]),
        ("return (i for i in ('007',))", ["007"]),
        ("return []", []),
        ("return at.contacts(['tier'])['tier'] == 'gold'", ["a", "b"]),
        (
            "return (at.contacts(['tier'])['tier'] == 'gold').to_numpy(dtype=bool, na_value=False)",
            ["a", "b"],
        ),
        ("return at.transactions()['contact_id']", ["a", "c"]),
        ("return at.contacts().sort_values('tier')['tier'] == 'silver'", ["c"]),
        ("return at.transactions(['amount']).query('amount == \"100\"')['contact_id']", []),
        (
            "return [] if at.has('mailing_lists') else [at.contacts()['contact_id'].iloc[0]]",
            ["007"],
        ),
    ],
)
def test_a_function_returns_ids_or_a_mask(home, body, expected):
    python(home, body)
    assert home.ids("decided") == expected


def test_opt_states_are_those_of_the_directory(home):
    python(home, "return ['a', 'b']")
    assert home.members("decided") == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return ['a', 'x', 'A']", "names 2 contacts that the snapshot does not have: 'x', 'A'"),
        ("return [7]", "returned 7 among the ids; contact ids are text"),
        ("return [None, 'a']", "returned None among the ids"),
        ("return pd.Series([True] * 4, index=list('abcd'))", "an index of its own"),
        ("return pd.Series([True] * 4, index=[0, 1, 1, 2])", "an index of its own"),
        ("return 'a'", "returned str; expected contact ids, or a mask"),
        ("return pd.Series([True])", "a mask of 1 rows; expected 4"),
        ("raise SystemExit(3)", "failed: SystemExit: 3"),
        ("return 1 / 0", "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_membership_is_an_error_of_the_function(home, body, words):
    python(home, body)
    with pytest.raises(DataError) as raised:
        home.ids("decided")
    assert words in str(raised.value)
    assert "rules.py:members for snapshot 2026-11-22" in str(raised.value)


def test_a_function_in_a_module_is_found_by_its_name(home, monkeypatch):
    home.write("our_rules_for_a_test.py", "def members(at):\n    return ['a']\n")
    monkeypatch.syspath_prepend(home.root)
    home.segment("decided", "python: our_rules_for_a_test:members")
    assert home.ids("decided") == ["a"]


def test_the_content_of_the_file_is_part_of_the_key(home, tmp_path):
    store = MembershipStore(str(tmp_path / "state"))

    def stored():
        tables = home.tables("2026-11-22")
        segment = home.catalog.segment("decided")
        return store.membership(segment, tables.directory, tables.snapshot)["contact_id"].tolist()

    python(home, "return ['a']")
    assert stored() == ["a"]
    python(home, "return ['c']")
    assert stored() == ["c"]


def test_conditions_may_refer_to_what_a_function_decides(home):
    python(home, "return ['a', '007']")
    home.segment(
        "outer", "match: {all: [{segment: decided, is: member}, {field: tier, is_set: true}]}"
    )
    assert home.ids("outer") == ["a"]


# Imported


def test_an_imported_membership_is_a_table_per_snapshot(home):
    imported(home, "contact_id a 007")
    assert home.members("imported") == [("007", True), ("a", True)]


def test_its_columns_may_have_other_names_and_opt_contacts_out(home):
    imported(home, "ID,ok a,no b,yes c,1", columns="{contact_id: ID, opted_in: ok}")
    home.segment("refused", "match: {subscription: imported, is: opted_out}")
    home.define("workflows/greet", WORKFLOW)
    assert home.members("imported") == [("a", False), ("b", False), ("c", True)]
    assert home.ids("refused") == ["a", "b"]
    resolved = home.catalog.resolve("greet")
    changes = [Change(i, "added", "", "2026-11-22", "2026-11-22") for i in ("a", "c")]
    assert current_consent(resolved, changes, LATER) == {"a": False, "c": True}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("contact_id a x A", "names 2 contacts that the snapshot does not have: 'x', 'A'"),
        ("contact_id a a", "has contacts more than once: 'a'"),
        ("contact_id,opted_in a,maybe", "an opt state that is no boolean for 'a'"),
        ("contact_id,opted_in a,", "has no opt state for 'a'; each must say true or false"),
        ("contact_id,Opted_In a,no", "has 'Opted_In', which looks like an opt state and is not"),
        ("contact_id,opted_in,unsubscribed a,yes,yes", "has 'unsubscribed', which looks like"),
        ("contactid a", "has no column 'contact_id'; did you mean 'contactid'?"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error(home, rows, words):
    imported(home, rows)
    with pytest.raises(DataError) as raised:
        home.ids("imported")
    assert words in str(raised.value)
    assert "imports/2026-11-22.csv" in str(raised.value)


def test_unknown_contacts_may_be_ignored(home):
    imported(home, "contact_id a x", unknown_contacts="ignore")
    assert home.ids("imported") == ["a"]


@pytest.mark.parametrize(
    "rows", ["contact_id,opted_in a,yes 7,no", "contact_id a 7", "contact_id A"]
)
def test_another_spelling_of_a_contact_s_id_is_never_ignored(home, rows):
    """An opt-out of it would be without effect, and the contact written to."""
    imported(home, rows, unknown_contacts="ignore")
    with pytest.raises(DataError, match="in another spelling than the snapshot: ") as raised:
        home.ids("imported")
    assert "imports/2026-11-22.csv" in str(raised.value)


def test_a_table_that_is_not_there_is_what_the_snapshot_lacks(home):
    imported(home, "contact_id a", key="2026-11-23")
    home.segment("outer", "match: {segment: imported, is: member}")
    for name in ("imported", "outer"):
        lacks = missing_for(home.catalog.segment(name), home.tables("2026-11-22"))
        assert lacks == [f"the imported membership {home.root}/imports/2026-11-22.csv"]
    with pytest.raises(DataError, match="is not there"):
        home.ids("imported")


def test_a_table_written_again_is_another_membership(home):
    imported(home, "contact_id a")
    tables = home.tables("2026-11-22")

    def key():
        return membership_key(home.catalog.segment("imported"), tables.directory, tables.snapshot)

    before = key()
    imported(home, "contact_id a c")
    assert key() != before


def test_changes_of_an_imported_membership(home, tmp_path):
    imported(home, "contact_id a c")
    home.snapshot("2026-11-23", contacts="contact_id,unsubscribed a,no b,no")
    imported(home, "contact_id b", key="2026-11-23")
    pair = [home.tables(key).snapshot for key in ("2026-11-22", "2026-11-23")]
    directory = home.catalog.directory("customers")
    store = MembershipStore(str(tmp_path / "state"))
    found = segment_changes(home.catalog.segment("imported"), directory, *pair, store).changes
    assert list(found.itertuples(index=False, name=None)) == [
        ("a", "removed", "no_longer_matches"),
        ("b", "added", ""),
        ("c", "removed", "deleted"),
    ]


# A function's module, and how often it is asked


COUNTING = """
calls = []

def members(at):
    calls.append(at.key)
    (__import__("pathlib").Path(__file__).parent / "calls").write_text("\\n".join(calls))
    return ["a", "b"]
"""


def calls(home, folder="."):
    return (home.root / folder / "calls").read_text().splitlines()


def test_files_of_one_content_in_two_folders_are_two_modules(home):
    for folder in ("one", "two"):
        home.write(f"{folder}/rules.py", COUNTING)
        home.segment(folder, f"python: ../{folder}/rules.py:members")
        assert home.ids(folder) == ["a", "b"]
    assert calls(home, "one") == calls(home, "two") == ["2026-11-22"]


def test_a_file_that_is_written_again_is_another_module(home):
    home.write("rules.py", COUNTING)
    home.segment("decided", "python: ../rules.py:members")
    assert home.ids("decided") == ["a", "b"]
    home.write("rules.py", COUNTING.replace('["a", "b"]', '["c"]'))
    assert home.ids("decided") == ["c"]
    assert calls(home) == ["2026-11-22"]


def test_a_function_is_asked_once_for_all_segments_that_refer_to_its_own(home, tmp_path):
    home.write("rules.py", COUNTING)
    home.segment("decided", "python: ../rules.py:members")
    for name in ("one", "two"):
        home.segment(name, f"description: {name}\nmatch: {{segment: decided, is: not_member}}")
    tables = home.tables("2026-11-22")
    store = MembershipStore(str(tmp_path / "state"))
    members = {
        name: store.membership(home.catalog.segment(name), tables.directory, tables.snapshot)
        for name in ("one", "two", "decided")
    }
    assert {name: list(found["contact_id"]) for name, found in members.items()} == {
        "one": ["007", "c"],
        "two": ["007", "c"],
        "decided": ["a", "b"],
    }
    assert calls(home) == ["2026-11-22"]


def test_a_segment_named_twice_is_explained_once(home):
    """A chain in which each names the one before it twice has two explanations a link, not 2^n."""
    home.segment("s0", "match: {field: contact_id, is_set: true}")
    for link in range(1, 19):
        leaf = f"{{segment: s{link - 1}, is: %s}}"
        home.segment(f"s{link}", f"match: {{any: [{leaf % 'member'}, {leaf % 'not_member'}]}}")
    tree = contact_verdict(home.catalog.segment("s18"), home.tables("2026-11-22"), "a").tree

    def nodes(each):
        return 1 + sum(map(nodes, each.children))

    assert tree.holds
    assert nodes(tree) < 100
