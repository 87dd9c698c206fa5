"""Segments that refer to others, to mailing lists, to subscriptions and to samples."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from segue.clock import Clock
from segue.contacts.change import Change
from segue.contacts.live_look_up import Desk
from segue.delivery.steps import check_branch, load_branch
from segue.directory.snapshots import find_snapshot
from segue.errors import DataError, DefinitionError
from segue.ledger import Ledger
from segue.preview.plan import plan
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef
from segue.segments.conditions.parsing import parse_condition
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import evaluate
from segue.segments.loading import load_population
from segue.segments.membership.store import MembershipStore, membership, membership_key, missing_for
from segue.workflows.validation import find_problems
from tests.unit.segments.home import LATER, Home

CONTACTS = "contact_id,tier,unsubscribed a,gold,no b,gold,yes c,silver,no d,gold,no e,,no"
LISTS = (
    "contact_id,mailing_list,opted_in a,News,yes b,News,no c,News, d,Offers,yes "
    "a,Offers,no a,Offers,yes"
)
SUBSCRIPTIONS = "contact_id,scope,opted_in a,segment:gold,no c,directory,no d,segment:other,no"


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path)
    found.segment("gold", "match: {field: tier, equals: gold}")
    found.snapshot(
        "2026-11-22", contacts=CONTACTS, mailing_lists=LISTS, subscriptions=SUBSCRIPTIONS
    )
    return found


def messages(home, name):
    with pytest.raises(DefinitionError) as raised:
        home.catalog.segment(name)
    return [str(problem).replace(f"{home.root}/", "") for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{mailing_list: News, is: member}", "abc"),
        ("{mailing_list: News, is: not_member}", "de"),
        ("{mailing_list: News, is: opted_in}", "ac"),
        ("{mailing_list: News, is: opted_out}", "b"),
        ("{mailing_list: Offers, is: opted_in}", "d"),  # of two rows, the one that opts out counts
        ("{mailing_list: Offers, is: opted_out}", "a"),
        ("{mailing_list: news, is: member}", ""),
        ("{subscription: directory, is: opted_out}", "bc"),
        ("{subscription: this_segment, is: opted_out}", "bc"),
        ("{subscription: gold, is: opted_out}", "abc"),
        ("{subscription: gold, is: opted_in}", "de"),
        ("{segment: gold, is: member}", "abd"),
        ("{segment: gold, is: not_member}", "ce"),
    ],
)
def test_leaves_about_the_contact_as_a_whole(home, match, expected):
    home.segment("tried", f"match: {match}")
    assert home.ids("tried") == list(expected)


def test_this_segment_is_the_one_in_whose_definition_it_stands(home):
    home.segment("gold", "match: {subscription: this_segment, is: opted_out}")
    home.segment("outer", "match: {not: {segment: gold, is: member}}")
    assert home.ids("gold") == ["a", "b", "c"]
    assert home.ids("outer") == ["d", "e"]


def test_a_list_without_opt_states_opts_nobody_out(home):
    home.snapshot("2026-11-23", contacts=CONTACTS, mailing_lists="contact_id,mailing_list a,News")
    home.segment("readers", "match: {mailing_list: News, is: opted_in}")
    assert home.ids("readers", "2026-11-23") == ["a"]


def test_a_snapshot_without_lists_lacks_what_the_segment_needs(home):
    home.snapshot("2026-11-21", contacts=CONTACTS)
    home.segment("readers", "match: {mailing_list: News, is: member}")
    home.segment("outer", "match: {segment: readers, is: member}")
    home.segment("refused", "match: {subscription: gold, is: opted_out}")
    assert missing_for(home.catalog.segment("outer"), home.tables("2026-11-21")) == [
        "mailing_lists"
    ]
    assert home.ids("refused", "2026-11-21") == ["b"]  # no table of subscriptions: no opt-out


@pytest.mark.parametrize(
    ("share", "salt"), [("0%", "x"), ("10%", "x"), ("33.3%", "é"), ("100%", "x")]
)
def test_a_sample_is_drawn_by_the_digest_of_salt_and_id(tmp_path, share, salt):
    home = Home(tmp_path)
    ids = [f"CID_{number}" for number in range(500)]
    home.snapshot("2026-11-22", contacts=" ".join(["contact_id", *ids]))
    home.segment("some", f"match: {{sample: {share}, salt: {salt}}}")

    def drawn(contact):
        digest = hashlib.sha256(salt.encode() + b"\0" + contact.encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < float(share[:-1]) / 100

    assert home.ids("some") == sorted(filter(drawn, ids))


# Segments of segments


def test_a_diamond_of_segments_is_taken_in_order(home):
    home.segment("readers", "match: {mailing_list: News, is: member}")
    home.segment(
        "both", "match: {all: [{segment: gold, is: member}, {segment: readers, is: member}]}"
    )
    home.segment(
        "either", "match: {any: [{segment: gold, is: member}, {segment: readers, is: member}]}"
    )
    home.segment(
        "one", "match: {all: [{segment: either, is: member}, {segment: both, is: not_member}]}"
    )
    order = [segment.segment for segment in home.catalog.segment("one").refers_to]
    assert order.index("gold") < order.index("either")
    assert order.index("readers") < order.index("both")
    assert len(order) == 4
    assert home.ids("one") == ["c", "d"]


def test_the_key_of_a_membership_holds_the_segments_it_refers_to(home, tmp_path):
    home.segment("outer", "match: {segment: gold, is: member}")
    store = MembershipStore(str(tmp_path / "state"))
    tables = home.tables("2026-11-22")

    def key():
        return membership_key(home.catalog.segment("outer"), tables.directory, tables.snapshot)

    def stored():
        found = store.membership(home.catalog.segment("outer"), tables.directory, tables.snapshot)
        return found["contact_id"].tolist()

    before = key()
    assert stored() == ["a", "b", "d"]
    home.segment("gold", "match: {field: tier, equals: silver}")
    assert key() != before
    assert stored() == ["c"]


def test_a_circle_is_refused_by_name(home):
    home.segment("x", "match: {not: {segment: y, is: member}}")
    home.segment(
        "y", "match:\n  all:\n    - {field: tier, is_set: true}\n    - {segment: z, is: member}"
    )
    home.segment("z", "match: {segment: x, is: member}")
    home.segment("outside", "match: {segment: x, is: member}")
    [message] = messages(home, "y")
    assert message.startswith(
        "segments/y.yaml:6:8: match.all[1].segment: segments refer to each other in a circle: "
        "y → z → x → y"
    )
    assert "x → y → z → x" in messages(home, "outside")[0]
    found = {problem.file.rsplit("/", 1)[-1]: problem for problem in find_problems(home.catalog)}
    assert sorted(found) == ["x.yaml", "y.yaml", "z.yaml"]


def test_a_segment_may_not_refer_to_itself_but_may_ask_for_its_own_subscription(home):
    home.segment("self", "match: {segment: self, is: member}")
    assert "self → self" in messages(home, "self")[0]
    home.segment("self", "match: {subscription: self, is: opted_in}")
    assert home.ids("self") == ["a", "d", "e"]


@pytest.mark.parametrize(
    "leaf", ["{segment: golt, is: member}", "{subscription: golt, is: opted_in}"]
)
def test_an_unknown_segment_is_named_with_the_nearest(home, leaf):
    home.segment("outer", f"match: {leaf}")
    [message] = messages(home, "outer")
    assert message.startswith("segments/outer.yaml:3:9: match.")
    assert "there is no segment 'golt'; allowed: gold, outer; did you mean 'gold'?" in message


def test_a_segment_of_another_directory_cannot_be_referred_to(home):
    home.define("directories/staff", "directory: staff\nsnapshots: ../staff\n")
    home.segment("bosses", "match: {field: grade, equals: 9}", directory="staff")
    home.segment("outer", "match: {segment: bosses, is: member}")
    assert "is of the directory 'staff'; expected one of 'customers'" in messages(home, "outer")[0]


def test_a_segment_that_is_not_known_is_no_silent_no(home):
    lonely = SegmentDefinition.model_validate(
        {"segment": "s", "directory": "customers", "match": {"segment": "gold", "is": "member"}}
    )
    tables = home.tables("2026-11-22")
    with pytest.raises(DataError, match="who is in the segment 'gold'"):
        membership(lonely, tables.directory, tables.snapshot)


@pytest.mark.parametrize("name", ["this_segment", "directory"])
def test_names_that_mean_something_else_are_refused(home, name):
    home.segment(name, "match: {field: tier, is_set: true}")
    assert "means something else" in messages(home, name)[0]


# Workflow conditions

WORKFLOW = """
workflow: greet
segment: gold
changes: [added]
start: 2026-11-01
conditions:
  all:
    - {{subscription: this_segment, is: opted_in}}
    - {condition}
actions:
  - {{id: note, slack_message: {{channel: c, text: x}}, if: {{segment: gold, is: member}}}}
"""


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{mailing_list: News, is: not_member}", "d"),
        ("{segment: readers, is: member}", ""),
        ("{segment: vip, is: member}", "d"),
        ("{not: {segment: outer, is: member}}", "d"),
        ("{sample: 100%, salt: s}", "d"),
    ],
)
def test_a_workflows_conditions_are_judged_for_a_slice(home, tmp_path, condition, expected):
    home.segment("readers", "match: {mailing_list: News, is: member}")
    home.segment("outer", "match: {segment: readers, is: member}")
    home.write("rules.py", "def members(at):\n    return ['d', 'e']\n")
    home.segment("vip", "python: ../rules.py:members")
    home.snapshot("2026-11-21", contacts="contact_id,tier,unsubscribed e,,no")
    home.define("workflows/greet", WORKFLOW.format(condition=condition))
    resolved = home.catalog.resolve("greet")
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "test")
    area = RunArea(str(tmp_path / "area"))
    area.write_audience(resolved.audience)
    slice_ = [Change(i, "added", "", "2026-11-22", "2026-11-22") for i in ("a", "b", "d")]
    area.write_audience(resolved.audience)
    [ref] = area.write_slices([slice_])
    assert isinstance(ref, BranchRef)
    desk = Desk(ledger, Clock(lambda: LATER))
    assert load_branch(resolved, ref, desk, MembershipStore(str(tmp_path / "state"))) == 3
    check_branch(resolved, ref, ledger, LATER)
    assert [change.contact_id for change in area.read_passed(0)] == list(expected)
    ledger.engine.dispose()

    pair = [find_snapshot(resolved.directory, k, now=LATER) for k in ("2026-11-21", "2026-11-22")]
    planned = plan(resolved, *pair, namespace="test", now=LATER + timedelta(days=1))
    passed = [change.contact_id for change in planned.changes if change.conditions == "passed"]
    assert passed == list(expected)


def test_a_workflow_that_names_an_unknown_segment_is_refused_at_its_line(home):
    home.define("workflows/greet", WORKFLOW.format(condition="{segment: golt, is: member}"))
    with pytest.raises(DefinitionError) as raised:
        home.catalog.resolve("greet")
    [problem] = raised.value.problems
    assert (problem.line, problem.path) == (9, "conditions.all[1].segment")
    assert problem in find_problems(home.catalog)


def test_a_workflow_that_loads_nothing_cannot_ask_for_segments_and_opt_states(home):
    text = WORKFLOW.format(condition="{sample: 10%, salt: s}").replace(
        "start:", "load: none\nstart:"
    )
    home.define("workflows/greet", text)
    with pytest.raises(DefinitionError) as raised:
        home.catalog.resolve("greet")
    paths = [problem.path for problem in raised.value.problems]
    assert paths == ["conditions.all[0].subscription", "actions[0].if.segment"]
    assert "with `load: none` nothing is known" in str(raised.value)


def test_what_a_workflow_refers_to_is_in_its_fingerprint(home):
    home.segment("readers", "match: {mailing_list: News, is: member}")
    home.define("workflows/greet", WORKFLOW.format(condition="{segment: readers, is: member}"))
    before = home.catalog.resolve("greet")
    home.segment("readers", "match: {mailing_list: Offers, is: member}")
    after = home.catalog.resolve("greet")
    assert after.fingerprint != before.fingerprint
    assert after.audience != before.audience


# The engine of regular expressions


@pytest.mark.timeout(240)
def test_a_pattern_that_explodes_elsewhere_needs_linear_time_here(home):
    rows = [f"c{number},{'a' * 3000}!" for number in range(5000)]
    home.snapshot("2026-11-23", contacts=" ".join(["contact_id,tier", *rows]))
    home.segment("slow", 'match: {field: tier, matches: "^(a+)+$"}')
    assert home.ids("slow", "2026-11-23") == []


def test_one_contact_of_a_segment_is_loaded_with_what_it_refers_to(home):
    home.segment("outer", "match: {segment: gold, is: not_member}")
    segment = home.catalog.segment("outer")
    alone = load_population(segment, home.tables("2026-11-22"), only=["c", "nobody"])
    assert alone.contacts["contact_id"].tolist() == ["c"]
    assert evaluate(parse_condition({"segment": "gold", "is": "member"}), alone).tolist() == [False]
