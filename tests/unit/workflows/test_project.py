"""``segue.yaml``: defaults, variables, profiles; what is wrong with them, where it stands."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime

import pytest

from segue.directory.snapshots import list_snapshots
from segue.documents import Document
from segue.preview.plan import compare_pair
from segue.segments.membership.store import MembershipStore, membership_key
from segue.workflows.profiles import told_once, unused
from segue.workflows.project import INHERITABLE
from segue.workflows.references import Scope, resolved
from segue.workflows.validation import find_problems
from tests.unit.workflows.home import SEGMENT, WORKFLOW

NOW = datetime(2026, 11, 10, 7, tzinfo=UTC)


# ---- defaults ---------------------------------------------------------------------------------


def test_a_workflow_inherits_key_by_key_and_its_own_goes_first(home):
    home.settings(
        "defaults:\n  owner: crm\n  retries: 3\n  guard: {at_most: 7, share: 1%}\n"
        '  policies: {quiet_hours: {from: "21:00", to: "08:00"}, max_age: 5d}\n'
    )
    home.write(
        "workflows/greet.yaml",
        WORKFLOW + "retries: 4\nguard: {share: 50%}\npolicies: {quiet_hours: {expires: 2h}}\n",
    )
    greet = home.resolved().definition
    assert (greet.owner, greet.retries) == ("crm", 4)
    assert (greet.guard.at_most, greet.guard.share, greet.guard.floor) == (7, 0.5, 25)
    hours = greet.policies.quiet_hours
    assert (f"{hours.begin:%H:%M}", str(hours.expires)) == ("21:00", "2h")
    assert str(greet.policies.max_age) == "5d"


def test_keys_that_a_workflow_needs_may_be_inherited(home):
    home.settings("defaults: {changes: [removed], start: 2026-11-02}\n")
    own = "".join(x for x in WORKFLOW.splitlines(True) if not x.startswith(("changes", "start")))
    home.write("workflows/greet.yaml", own)
    greet = home.resolved().definition
    assert (greet.changes, greet.start) == (("removed",), "2026-11-02")
    home.settings("description: nothing\n")
    assert "the key 'start' is missing" in home.error()


def test_null_says_not_here_unless_it_is_a_value(home):
    """``share: null`` switches a limit off, as it does without defaults."""
    home.settings(
        "defaults:\n  owner: crm\n  guard: {share: 1%, floor: 3}\n  schedule: '@daily'\n"
        '  policies: {quiet_hours: {from: "21:00", to: "08:00"}}\n  tags: [a]\n'
    )
    home.write(
        "workflows/greet.yaml",
        WORKFLOW
        + "owner: null\nguard: {share: null, floor: null}\nschedule: null\ntags: null\n"
        + "policies: {quiet_hours: null}\n",
    )
    greet = home.resolved().definition
    assert (greet.owner, greet.schedule, greet.tags) == ("segue", None, ())
    assert (greet.guard.share, greet.guard.floor) == (None, 25)
    assert greet.policies.quiet_hours is None


def test_a_notifier_and_a_live_source_are_taken_whole(home):
    notice = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
    home.settings(
        f"defaults:\n  notify: {{on_failure: {{notifier: {notice}, to: a@b.example}}}}\n"
        "  load: {http: {url: https://a.example}}\n"
    )
    home.write(
        "workflows/greet.yaml",
        WORKFLOW + "notify: {on_failure: {notifier: x.Y, text: hi}}\nload: snapshot\n",
    )
    greet = home.catalog().workflow("greet")
    [own] = greet.notify.on_failure
    assert (own.notifier, own.arguments) == ("x.Y", {"text": "hi"})
    assert greet.load == "snapshot"


def test_a_wrong_default_is_told_once_where_it_is_written(home):
    home.settings("defaults:\n  owner: crm\n  gaurd: {}\n  guard: {share: 5}\n")
    home.write("workflows/other.yaml", WORKFLOW.replace("greet", "other"))
    guard, share = home.problems()
    assert guard.startswith("segue.yaml:3:3: defaults.gaurd: unknown key 'gaurd'; allowed: ")
    assert guard.endswith("; did you mean 'guard'?")
    assert share == "segue.yaml:4:11: defaults.guard.share: found 5; allowed: a share such as 5%"


def test_what_is_wrong_in_the_workflow_is_told_there(home):
    home.settings("defaults: {guard: {share: 5%}}\n")
    home.write("workflows/greet.yaml", WORKFLOW + "guard: {at_most: many}\n")
    [problem] = home.problems()
    assert problem.startswith("workflows/greet.yaml:8:9: guard.at_most: expected a valid integer")


def test_a_default_that_refers_to_nothing_is_told_of_each_workflow(home):
    """What is not known of it is a consequence; why it is not known is none."""
    home.settings("defaults: {policies: '${nope}'}\n")
    assert "defaults.policies: there is no variable 'nope'" in home.error()


@pytest.mark.parametrize("content", ["hello\n", "5\n", "- hello\n", "${nope}\n"])
def test_settings_that_are_no_mapping_are_an_error(home, content):
    home.settings(content)
    assert home.error().startswith("segue.yaml:1:1: expected a mapping, found ")


def test_settings_behind_a_link_that_leads_nowhere_are_an_error(home):
    """Else the guard and the policies that every workflow inherits would be gone in silence."""
    (home.folder / "segue.yaml").symlink_to("..data/segue.yaml")
    assert home.error() == "segue.yaml: cannot be read: No such file or directory"
    assert home.problems() == [home.error()]


def test_what_one_workflow_is_cannot_be_inherited(home):
    """Every other key of a workflow can be; a new one needs no place here."""
    home.settings("defaults: {segment: gold, actions: []}\n")
    segment, actions = home.problems()
    assert "unknown key 'segment'" in segment
    assert "unknown key 'actions'" in actions
    assert {"owner", "guard", "policies", "notify", "branches", "retries"} <= set(INHERITABLE)


# ---- variables --------------------------------------------------------------------------------

TYPES = """\
variables:
  limit: {type: integer, default: 5}
  rate: {type: number, default: 0.5}
  on: {type: boolean, default: true}
  tiers: {type: list, default: [gold, silver]}
  word: {type: text, default: "#support"}
"""


def resolved_text(text: object) -> object:
    values = {"limit": 5, "rate": 0.5, "on": True, "tiers": ["gold"], "word": "#support"}
    return resolved(Document("a.yaml", {"key": text}, {}), Scope(values)).data["key"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${limit}", 5),
        ("${rate}", 0.5),
        ("${on}", True),
        ("${tiers}", ["gold"]),
        ("${word}", "#support"),
        ("${word}-${limit}, ${on}", "#support-5, true"),
        ("$${word} is ${word}", "${word} is #support"),
        ("$${word}", "${word}"),
        ("You owe ${{ contact.balance }}", "You owe ${{ contact.balance }}"),
        ("$${{ contact.balance }}", "$${{ contact.balance }}"),
        ("${l://SurveyURL} ${e://Field/x}", "${l://SurveyURL} ${e://Field/x}"),
        ("$ {word} {word} ${", "$ {word} {word} ${"),
        (["${limit}", {"a": "x${limit}"}], [5, {"a": "x5"}]),
    ],
)
def test_a_reference_is_what_it_stands_for(text, value):
    assert resolved_text(text) == value
    assert type(resolved_text(text)) is type(value)


def test_variables_are_for_every_kind_of_definition(home):
    home.settings(
        TYPES + "  root: {type: text, default: ../../other}\n"
        "defaults: {guard: {at_most: '${limit}'}}\n"
    )
    home.write("directories/people.yaml", "directory: people\nsnapshots: ${root}/people\n")
    home.write("segments/gold.yaml", SEGMENT.replace("equals: gold", "one_of: '${tiers}'"))
    home.write("workflows/greet.yaml", WORKFLOW.replace('"#gold"', "'${word}'"))
    greet = home.resolved()
    assert greet.directory.snapshots == str(home.folder.parent / "other/people")
    assert greet.segment.facts()["match"] == {"field": "tier", "one_of": ["gold", "silver"]}
    assert greet.definition.guard.at_most == 5
    assert greet.definition.action("tell").fields["channel"] == "#support"
    assert home.problems() == []


def test_a_reference_to_nothing_is_told_alone_with_what_was_meant(home):
    home.settings(TYPES)
    home.write("workflows/greet.yaml", WORKFLOW + "guard: {at_most: '${limt}'}\n")
    [problem] = home.problems()
    assert problem.startswith(
        "workflows/greet.yaml:8:9: guard.at_most: there is no variable 'limt'; allowed: limit, "
    )
    assert "did you mean 'limit'?" in problem
    home.write("workflows/greet.yaml", WORKFLOW + "owner: '${tiers} and ${word}'\n")
    [problem] = home.problems()
    assert problem.endswith("owner: `${tiers}` is a list, and cannot be a part of a text")
    (home.folder / "segue.yaml").unlink()
    assert "segue.yaml, beside the folders of definitions, defines none" in home.problems()[0]


def test_a_value_that_does_not_fit_says_whose_it_is(home):
    home.settings(TYPES)
    home.write("workflows/greet.yaml", WORKFLOW + "guard: {at_most: '${word}'}\n")
    [problem] = home.problems()
    assert problem.startswith("workflows/greet.yaml:8:9: guard.at_most: expected a valid integer")
    assert problem.endswith("; `${word}` is '#support', by line 6 of segue.yaml")


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("text", ["", "5"], [5, True, [], {}]),
        ("number", [5, 0.5, -1], ["5", True, []]),
        ("integer", [5], [0.5, "5", True]),
        ("boolean", [True, False], ["true", 1]),
        ("list", [[], ["a", 1, True]], ["a", [[]], [{}], {}]),
    ],
)
def test_a_value_is_of_its_variables_type(home, type_, good, bad):
    def problems(value: object) -> list[str]:
        home.settings(json.dumps({"variables": {"x": {"type": type_, "default": value}}}))
        return home.problems()

    assert [problems(value) for value in good] == [[] for _ in good]
    for value in bad:
        [problem] = problems(value)
        assert f"(type: {type_})" in problem, value
        assert "variables.x.default: found" in problem


# ---- profiles ---------------------------------------------------------------------------------

PROFILES = """\
variables:
  tier: {type: text}
  word: {type: text, default: "#support"}
defaults: {owner: crm, guard: {at_most: 5, share: 1%}}
profiles:
  dev: {namespace: dev, variables: {tier: silver}}
  prod:
    namespace: prod
    variables: {tier: gold, word: "#prod"}
    defaults: {guard: {at_most: 50}}
"""


def test_a_profile_gives_variables_and_defaults_other_values(home):
    home.settings(PROFILES)
    home.write("segments/gold.yaml", SEGMENT.replace("equals: gold", "equals: '${tier}'"))
    home.write("workflows/greet.yaml", WORKFLOW.replace('"#gold"', "'${word}'"))
    dev, prod = home.resolved("dev"), home.resolved("prod")
    tiers = [each.segment.facts()["match"]["equals"] for each in (dev, prod)]
    words = [each.definition.action("tell").fields["channel"] for each in (dev, prod)]
    limits = [each.definition.guard for each in (dev, prod)]
    assert (tiers, words) == (["silver", "gold"], ["#support", "#prod"])
    assert [(each.at_most, each.share) for each in limits] == [(5, 0.01), (50, 0.01)]


def test_without_a_profile_there_are_the_defaults_of_variables_alone(home):
    home.settings(PROFILES)
    assert home.resolved().definition.owner == "crm"
    home.write("segments/gold.yaml", SEGMENT.replace("equals: gold", "equals: '${tier}'"))
    assert home.error() == (
        "segments/gold.yaml:3:22: match.equals: `${tier}` has no value: it has no default, and no "
        "profile is set (SEGUE_PROFILE); profiles that give it one: dev, prod"
    )


def test_a_profile_that_is_not_there_is_one_error(home):
    home.settings(PROFILES)
    home.write("segments/gold.yaml", SEGMENT.replace("equals: gold", "equals: '${tier}'"))
    assert home.problems("prd") == [
        (
            "segue.yaml: there is no profile 'prd' (SEGUE_PROFILE, --profile); allowed: "
            "dev, prod; did you mean 'prod'?"
        )
    ]
    (home.folder / "segue.yaml").unlink()
    home.write("segments/gold.yaml", SEGMENT)
    assert home.problems("prod") == [
        "segue.yaml: there is no such file, and the profile 'prod' is set (SEGUE_PROFILE)"
    ]


def test_a_profile_runs_in_its_own_namespace_alone(home):
    """Else what one of them sent would count as sent for the other, in one ledger."""
    home.settings(PROFILES)
    assert home.catalog("dev", "dev").resolve("greet").name == "greet"
    assert home.error("dev", "prod") == (
        "segue.yaml:6:9: profiles.dev.namespace: the profile 'dev' is of the namespace "
        "'dev', and SEGUE_NAMESPACE is 'prod'; expected the same, as what was sent is "
        "remembered by namespace"
    )


@pytest.mark.parametrize("profile", [None, "test"])
def test_a_namespace_that_a_profile_names_is_nobody_elses(home, profile):
    """A worker that lacks SEGUE_PROFILE would send prod's messages to where nobody's go."""
    home.settings(PROFILES + "  test: {}\n")
    assert home.catalog("prod", "prod").resolve("greet").name == "greet"
    assert home.catalog(profile, "other").resolve("greet").name == "greet"
    error = home.error(profile, "prod")
    assert (
        "profiles.prod.namespace: SEGUE_NAMESPACE is 'prod', which is that of the profile " in error
    )
    assert ("'test' is set" if profile else "no profile is set") in error


def test_a_wrong_profile_is_told_with_what_was_meant(home):
    home.settings(
        TYPES + "profiles:\n  dev: {variables: {limitt: 3}}\n  prod: {variables: {limit: x}}\n"
    )
    unknown, wrong = home.problems()
    assert unknown.startswith("segue.yaml:8:21: profiles.dev.variables.limitt: there is no")
    assert unknown.endswith("did you mean 'limit'?")
    assert wrong.endswith("limit: found 'x'; expected a whole number (type: integer)")
    home.settings("profiles:\n  dev: {variabels: {}}\n")
    assert "unknown key 'variabels'" in home.problems()[0]


def test_what_is_wrong_under_some_profiles_says_under_which(home):
    home.settings(PROFILES)
    home.write("workflows/greet.yaml", WORKFLOW + "owner: ''\nguard: {at_most: '${tier}'}\n")
    found = {name: find_problems(home.catalog(name)) for name in ("dev", "prod")}
    owner, *limits = [str(each) for each in told_once(found)]
    assert owner.endswith("found ''")
    assert [each.rpartition("segue.yaml")[2] for each in limits] == [
        " (profile dev)",
        " (profile prod)",
    ]


def test_what_nobody_uses_is_remarked_on(home):
    home.settings(PROFILES.replace("namespace: prod", "description: live"))
    remarks = [str(each.message) for each in unused(home.catalog("dev"))]
    assert remarks[:2] == ["no definition uses the variable"] * 2
    assert remarks[2].startswith("profiles without a namespace each of their own")
    home.write("workflows/greet.yaml", WORKFLOW.replace('"#gold"', "'${word}'"))
    home.settings(PROFILES.replace("owner: crm", "owner: '${tier}'"))
    assert list(unused(home.catalog("dev"))) == []


# ---- secrets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "x"),
        ("smtp_password", "hi"),
        ("token", "x"),
        ("url", "postgresql://me:hunter2@db/segue"),
        ("thing", "xoxb-123456789012-abcdef"),
        ("thing", "AKIA" + "ABCDEFGHIJKLMNOP"),
        ("thing", "0123456789abcdef0123456789abcdef"),
        ("thing", "https://hooks.slack.com/services/T00000000/B00000000/abcdefgh"),
        ("key_passphrase", "x"),
    ],
)
def test_secrets_are_refused_by_name_and_by_looks_and_not_repeated(home, name, value):
    home.settings(f"variables:\n  {name}: {{type: text, default: '{value}'}}\n")
    [problem] = home.problems()
    assert "Airflow connections are the place for it" in problem
    assert value not in problem.replace("segue.yaml", "") or len(value) < 3
    given = json.dumps({"variables": {name: value}})
    home.settings(f"variables: {{{name}: {{type: text}}}}\nprofiles: {{dev: {given}}}\n")
    assert any("looks like a secret" in each for each in home.problems("dev"))


@pytest.mark.parametrize(
    ("name", "type_", "value"),
    [
        ("send_password_reminder", "boolean", "true"),
        ("has_token", "boolean", "false"),
        ("data_root", "text", "s3://bucket/segue/exports/2026/customers"),
        ("site", "text", "https://example.com:8443/a@b"),
        ("sheet", "text", "550e8400-e29b-41d4-a716-446655440000"),
        ("sender", "text", "Customer care <care@example.com>"),
    ],
)
def test_what_is_no_secret_is_not_refused(home, name, type_, value):
    written = value if type_ == "boolean" else repr(value)
    home.settings(f"variables:\n  {name}: {{type: {type_}, default: {written}}}\n")
    assert home.problems() == []


def test_beside_a_secret_no_message_shows_a_value(home):
    """Neither one about its type, nor one about what refers to it."""
    home.settings(
        "variables:\n  crm_password: {type: text, default: 12345678}\n"
        "  crm: {type: text, default: 'https://me:hunter2@crm'}\ndefaults: {owner: 5}\n"
    )
    home.write("workflows/greet.yaml", WORKFLOW.replace("greet\n", "${crm}\n"))
    found = [*home.problems(), home.error()]
    assert not [each for each in found if "hunter2" in each or "12345678" in each]
    assert all("looks like a secret" in each for each in found)


# ---- what follows from a definition -----------------------------------------------------------


def with_snapshots(home) -> None:
    for day, golden in ((8, "a"), (9, "ab")):
        folder = home.folder.parent / "snapshots" / f"2026-11-{day:02}"
        folder.mkdir(parents=True)
        with (folder / "contacts.csv").open("w", newline="") as file:
            rows = [[c, "gold" if c in golden else "silver", "false"] for c in "abcdef"]
            csv.writer(file).writerows([["contact_id", "tier", "unsubscribed"], *rows])
        (folder / "_SUCCESS").touch()


def test_the_value_of_a_variable_is_the_definition(home):
    """Written out or by a variable: one digest, one stored membership; another value: others."""
    with_snapshots(home)
    written_out = home.resolved()
    home.settings("variables: {tier: {type: text, default: gold}}\n")
    home.write("segments/gold.yaml", SEGMENT.replace("equals: gold", "equals: '${tier}'"))
    by_variable = home.resolved()
    home.settings("variables: {tier: {type: text, default: silver}}\n")
    edited = home.resolved()
    snapshot = list_snapshots(edited.directory, now=NOW)[-1]
    keys = [
        membership_key(each.segment, each.directory, snapshot)
        for each in (written_out, by_variable, edited)
    ]
    assert keys[0] == keys[1] != keys[2]
    assert written_out.fingerprint == by_variable.fingerprint != edited.fingerprint
    assert by_variable.acts_on_the_same(written_out.audience)
    assert not edited.acts_on_the_same(written_out.audience)


def test_an_edit_of_a_variable_floods_nobody(home, tmp_path):
    """Both snapshots are compared under the present value, as after an edit of the segment."""
    with_snapshots(home)
    home.settings("variables: {tier: {type: text, default: gold}}\n")
    home.write("segments/gold.yaml", SEGMENT.replace("equals: gold", "equals: '${tier}'"))
    home.write("workflows/greet.yaml", WORKFLOW.replace("[added]", "[added, removed]"))

    def changes() -> list[tuple[str, str]]:
        greet = home.resolved()
        snapshots = list_snapshots(greet.directory, now=NOW)
        store = MembershipStore(str(tmp_path / "state"))
        return [each[:2] for each in compare_pair(greet, *snapshots, store=store, now=NOW).changes]

    assert changes() == [("b", "added")]
    home.settings("variables: {tier: {type: text, default: silver}}\n")
    assert changes() == [("b", "removed")]
