"""Connection types: each vendor's form, and a Test button that does the channel's own check."""

from __future__ import annotations

import importlib
import json
import os

import pytest

from segue.connection_types import CONNECTION_TYPES
from segue.contracts.channel import BUILT_IN
from segue.provider_info import get_provider_info

_HOOKS = {each.name: each for each in CONNECTION_TYPES}


def hook_of(name: str):
    return getattr(importlib.import_module("segue.connection_hooks"), _HOOKS[name].hook)


@pytest.mark.parametrize("name", _HOOKS)
def test_the_form_and_the_hook_are_of_the_same_type(name):
    """Airflow drops a type, with a warning in a log, where they are not."""
    hook = hook_of(name)
    [info] = [
        each for each in get_provider_info()["connection-types"] if each["connection-type"] == name
    ]
    assert (hook.conn_type, hook.hook_name) == (name, info["hook-name"])
    assert hook.channel in BUILT_IN
    behaviour = {key.replace("-", "_"): value for key, value in info["ui-field-behaviour"].items()}
    assert hook.get_ui_field_behaviour() == behaviour


@pytest.mark.parametrize("name", _HOOKS)
def test_the_button_tries_the_connection(sandbox, set_connection, name):
    """As a type of its own, with the fields that one of type http has."""
    connection = hook_of(name).default_conn_name
    fields = json.loads(os.environ[f"AIRFLOW_CONN_{connection.upper()}"])
    set_connection("mine", **{**fields, "conn_type": name})
    is_usable, words = hook_of(name)("mine").test_connection()
    assert is_usable, words
    assert words.startswith("untried" if name == "segue_teams" else "ok"), words


@pytest.mark.parametrize("name", sorted(_HOOKS.keys() - {"segue_teams"}))
def test_a_wrong_secret_is_told_without_it(sandbox, set_connection, name):
    """And with what to do."""
    connection = hook_of(name).default_conn_name
    fields = json.loads(os.environ[f"AIRFLOW_CONN_{connection.upper()}"])
    secret = "login" if name == "segue_freshdesk" else "password"
    set_connection("mine", **{**fields, "conn_type": name, secret: "of-somebody-else"})
    is_usable, words = hook_of(name)("mine").test_connection()
    assert not is_usable
    assert "of-somebody-else" not in words
    assert "check" in words or "refused" in words or "invalid" in words


@pytest.mark.parametrize("name", ["segue_zendesk", "segue_jira", "segue_servicenow"])
def test_a_secret_that_http_cannot_carry_is_told(sandbox, set_connection, name):
    """And no character of it, as Python's own error has."""
    connection = hook_of(name).default_conn_name
    fields = json.loads(os.environ[f"AIRFLOW_CONN_{connection.upper()}"])
    set_connection("mine", **{**fields, "conn_type": name, "password": "pass\N{GRINNING FACE}"})
    is_usable, words = hook_of(name)("mine").test_connection()
    assert not is_usable
    assert "has a character that HTTP cannot carry" in words


def test_a_connection_that_cannot_be_opened_is_told(set_connection):
    """Nothing is raised into Airflow's answer."""
    set_connection("mine", conn_type="segue_teams")
    assert hook_of("segue_teams")("mine").test_connection() == (
        False,
        (
            "the Airflow connection 'mine' needs the webhook's whole URL, as Teams shows it, for "
            "its password"
        ),
    )
