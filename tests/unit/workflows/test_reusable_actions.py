"""Actions of ``actions/``: parameters, what a workflow overrides, where errors stand."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from segue.ledger.facts import Run
from segue.ledger.schema import deliveries, metadata
from segue.workflows.profiles import unused
from tests.unit.builders import DEFINITION, NOW, detected, stretch
from tests.unit.workflows.home import WORKFLOW

TELL = """\
action: tell
description: Tells the team
parameters:
  channel: {type: text, default: "#gold"}
  words: {type: text}
if: {field: tier, equals: gold}
slack_message:
  channel: ${channel}
  text: "{{ contact.contact_id }} ${words}"
"""
USE = "  - {id: tell, use: tell, with: {words: is gold}}\n"


def using(home, item: str = USE, more: str = "") -> None:
    home.write("workflows/greet.yaml", WORKFLOW.partition("  - id")[0] + item + more)


def test_a_used_action_is_the_action_written_out(home):
    literal = WORKFLOW + "    if: {field: tier, equals: gold}\n"
    home.write("workflows/greet.yaml", literal)
    written_out = home.resolved()
    home.write("actions/tell.yaml", TELL)
    using(home)
    assert home.resolved().fingerprint == written_out.fingerprint
    assert home.problems() == []


def test_delivery_keys_have_the_workflows_id_whatever_the_actions_file_is_called(home, ledger):
    """So an action that is extracted into a file, or whose file is renamed, never sends again."""

    def keys() -> set[str]:
        span = detected(stretch(21, 22), [("c1", "added", "")])
        ids = home.resolved().action_ids
        run = Run("greet", "one")
        ledger.runs.record_spans(run, [span], ids, DEFINITION, NOW, recorded_only=False)
        with ledger.engine.begin() as connection:
            rows = {row.key for row in connection.execute(select(deliveries.c.key))}
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        return rows

    written_out = keys()
    home.write("actions/tell.yaml", TELL)
    using(home)
    used = keys()
    home.write("actions/another_name.yaml", TELL.replace("action: tell", "action: another_name"))
    using(home, USE.replace("use: tell", "use: another_name"))
    assert written_out == used == keys()
    using(home, USE.replace("id: tell", "id: other"))
    assert keys() != used


def test_a_workflow_overrides_keys_and_takes_away_with_null(home):
    home.write("actions/tell.yaml", TELL)
    using(
        home,
        '  - {id: tell, use: tell, with: {words: x}, if: null, slack_message: {text: "own"}}\n',
    )
    action = home.resolved().definition.action("tell")
    assert action.condition is None
    assert action.fields == {"text": "own", "channel": "#gold"}
    using(
        home,
        "  - {id: tell, use: tell, with: {words: x}, if: {field: tier, is_set: true}}\n",
    )
    assert home.resolved().definition.model_dump(by_alias=True)["actions"][0]["if"] == {
        "field": "tier",
        "is_set": True,
    }


def test_a_parameter_takes_variables_and_hides_one_of_its_name(home):
    home.settings("variables: {channel: {type: text, default: '#team'}}\n")
    home.write("actions/tell.yaml", TELL.replace('default: "#gold"', "default: '${channel}-x'"))
    using(home)
    assert home.resolved().definition.action("tell").fields["channel"] == "#team-x"
    using(home, "  - {id: tell, use: tell, with: {words: x, channel: '${channel}'}}\n")
    assert home.resolved().definition.action("tell").fields["channel"] == "#team"


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (
            "  - {id: a, use: tel}\n",
            (
                "workflows/greet.yaml:6:13: actions[0].use: there is no action 'tel'; allowed: "
                "tell; did you mean 'tell'?"
            ),
        ),
        (
            "  - {id: a, use: tell}\n",
            (
                "workflows/greet.yaml:6:5: actions[0].with.words: the action 'tell' needs a "
                "value of its parameter 'words'"
            ),
        ),
        (
            "  - {id: a, use: tell, with: {words: 5}}\n",
            (
                "workflows/greet.yaml:6:31: actions[0].with.words: found 5; expected text, in "
                "quotes where it looks like a number (type: text)"
            ),
        ),
        (
            "  - {id: a, use: tell, with: {words: x, chanel: x}}\n",
            (
                "workflows/greet.yaml:6:41: actions[0].with.chanel: the action 'tell' has no "
                "parameter 'chanel'; allowed: channel, words; did you mean 'channel'?"
            ),
        ),
        (
            "  - {id: a, use: tell, with: [x]}\n",
            (
                "workflows/greet.yaml:6:24: actions[0].with: expected a mapping of the "
                "action's parameters"
            ),
        ),
        (
            "  - {id: a, with: {words: x}, email: {}}\n",
            (
                "workflows/greet.yaml:6:5: actions[0].use: expected the name of an action in "
                "actions/, as in `use: NAME`"
            ),
        ),
        (
            "  - {id: a, use: tell, with: {words: x}, email: {}}\n",
            (
                "workflows/greet.yaml:6:5: actions[0]: an action has exactly one channel "
                "beside id, after, only, wait, if, pace, digest, languages and airflow; "
                "found email, slack_message"
            ),
        ),
        (
            "  - {id: a, use: tell, with: {words: x}, slack_message: {txt: x}}\n",
            (
                "workflows/greet.yaml:6:58: actions[0].slack_message.txt: unknown key 'txt'; "
                "allowed: connection, audience, text, blocks, channel, user, email; did you "
                "mean 'text'?"
            ),
        ),
    ],
)
def test_a_wrong_use_is_told_at_the_use(home, item, problem):
    home.write("actions/tell.yaml", TELL)
    using(home, item)
    assert home.problems() == [problem]
    assert problem in home.error()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('  text: "', '  txt: "x"\n  text: "', "actions/tell.yaml:9:3: slack_message.txt: unknown"),
        (
            "${channel}",
            "${chanel}",
            "actions/tell.yaml:8:3: slack_message.channel: there is no var",
        ),
        (
            "contact.contact_id }}",
            "contact.contact_id | nope }}",
            "actions/tell.yaml:9:3: slack_message.text",
        ),
        ("slack_message", "slack_mesage", "actions/tell.yaml:7:1: slack_mesage: unknown channel"),
        ("equals: gold", "equls: gold", "actions/tell.yaml:6:"),
        (
            "description",
            "id: x\ndescription",
            "actions/tell.yaml:2:1: id: does not stand here; the",
        ),
        ("type: text}", "type: words}", "actions/tell.yaml:5:11: parameters.words.type: found"),
        ('"#gold"', "5", "actions/tell.yaml:4:25: parameters.channel.default: found 5"),
        ("action: tell", "action: tall", "actions/tell.yaml:1:1: action: found 'tall' in a file"),
    ],
)
def test_what_is_wrong_in_an_action_is_told_once_in_its_own_file(home, old, new, problem):
    home.write("actions/tell.yaml", TELL.replace(old, new))
    using(home, USE, USE.replace("id: tell", "id: again"))
    home.write("workflows/other.yaml", WORKFLOW.replace("greet", "other"))
    [only] = home.problems()
    assert only.startswith(problem)
    home.write("workflows/greet.yaml", WORKFLOW)
    [by_itself] = home.problems()
    assert by_itself == only


def test_a_parameter_that_only_a_use_gives_is_no_problem_of_the_action_itself(home):
    home.write(
        "actions/ticket.yaml",
        "action: ticket\nparameters: {priority: {type: text}}\n"
        "zendesk_ticket: {subject: s, comment: c, priority: '${priority}'}\n",
    )
    assert home.problems() == []
    [remark] = unused(home.catalog())
    assert remark.message == "no workflow uses it"
    using(home, "  - {id: tell, use: ticket, with: {priority: highest}}\n")
    [problem] = home.problems()
    assert problem.startswith("actions/ticket.yaml:3:42: zendesk_ticket.priority: found 'highest'")
    assert problem.endswith("; `${priority}` is 'highest', by line 6 of greet.yaml")


def test_an_action_is_built_by_python_too(home):
    home.settings("defaults: {owner: crm}\n")
    home.write("actions/tell.yaml", TELL)
    greet = {"workflow": "greet", "segment": "gold", "changes": ["added"], "start": "2026-11-01"}
    actions = [{"id": "tell", "use": "tell", "with": {"words": "x"}}]
    built = home.catalog().build({**greet, "actions": actions}).definition
    assert (built.owner, built.actions[0].channel) == ("crm", "slack_message")
