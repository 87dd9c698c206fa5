"""The connections that the pages show, opened as the channels open them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from segue.channels.http.calls import open_calls
from segue.channels.http.credentials import Secrets, Signature
from segue.channels.oauth2 import OAuth2, tokens_of

PAGES = Path(__file__).parents[3] / "docs"
OPERATIONS = (PAGES / "operations.md").read_text()
SHOWN = [
    json.loads(block)
    for page in sorted(PAGES.glob("*.md"))
    for block in re.findall(r"^```json\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
]
OVER_HTTP = [fields for fields in SHOWN if fields["conn_type"] == "http" and "host" in fields]


def keys_in_table(heading: str) -> set[str]:
    """Return the keys that the first column of a table has."""
    table = re.search(rf"^\| {re.escape(heading)} \|.*?\n\n", OPERATIONS, re.DOTALL | re.MULTILINE)
    assert table
    rows = table[0].strip().splitlines()[2:]
    return {key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])}


def named(fields: dict[str, Any]) -> str:
    return re.sub(r"\W+", "-", fields["host"].partition("//")[2]).strip("-")


@pytest.mark.parametrize("fields", OVER_HTTP, ids=named)
def test_a_connection_over_http_opens(set_connection, fields: dict[str, Any]):
    set_connection("shown", **fields)
    calls = open_calls("Somebody", "shown", own=("site",))
    assert calls.base_url == fields["host"]
    tokens = tokens_of("shown")
    assert (tokens is not None) == ("oauth2" in fields.get("extra", {}))


@pytest.mark.parametrize(
    "fields", [fields for fields in SHOWN if fields["conn_type"] == "smtp"], ids=lambda f: f["host"]
)
def test_a_connection_to_a_mail_server_has_tokens_where_it_says_so(set_connection, fields):
    set_connection("shown", **fields)
    assert (tokens_of("shown") is not None) == ("oauth2" in fields["extra"])


@pytest.mark.parametrize(
    "vendor",
    ["zendesk", "salesforce", "graph.microsoft", "googleapis", "service-now", "api.atlassian"],
)
def test_there_is_one_with_oauth_for(vendor: str):
    assert any(vendor in f["host"] and "oauth2" in f.get("extra", {}) for f in OVER_HTTP)


def test_the_tables_have_every_key():
    assert keys_in_table("key of `oauth2`") >= set(OAuth2.model_fields)
    assert keys_in_table("key of `placed_secrets`") == set(Secrets.model_fields)
    row = next(line for line in OPERATIONS.splitlines() if line.startswith("| `sign` |"))
    assert all(f"`{key}`" in row for key in Signature.model_fields)
