"""What teams' extensions import: promised, so it is written down here once more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from segue import extend
from segue.segments.conditions import operands

DOCS = Path(__file__).parents[2] / "docs"
OPERANDS = {
    *("AnyScalar", "Day", "Flag", "Instant", "Number", "NumberRange", "Operand", "Pattern"),
    *("ScalarList", "Share", "Span", "Text"),
}
HEAVY = ("airflow", "numpy", "pandas", "pyarrow", "requests", "slack_sdk")


def test_the_promised_names_are_these():
    """To take one away, or to change what it does, is a change of the major version."""
    assert extend.__all__ == [
        *("Aggregate", "Audience", "CardText", "Channel", "ConnectionFailure", "ContactFailure"),
        *(
            "Deferral",
            "Definition",
            "DeliveryError",
            "Finding",
            "FoundByName",
            "Html",
            "HttpCalls",
            "HttpSender",
            "Limit",
        ),
        *("Line", "LiveReader", "LiveSource", "Moment", "Mrkdwn", "NoAddress", "OpenTicket"),
        *("Operator", "OptedOut", "OutcomeUnknown", "PartlyFound", "Reading", "Receipt"),
        *("Sender", "SettingsError", "SnapshotReader", "SnapshotSource", "Text"),
        *("TransientFailure", "Tried", "UnprovenRefusal", "Url", "UrlPath"),
        *("find_connection", "limits_of", "look_from", "open_calls", "open_webhook"),
        *("operands", "register", "register_aggregate"),
    ]
    assert all(hasattr(extend, name) for name in extend.__all__)
    assert {name for name in OPERANDS if hasattr(operands, name)} == OPERANDS


def test_the_page_lists_every_promised_name():
    section = (DOCS / "adding-a-channel.md").read_text().split("## What may be imported")[1]
    table = "\n".join(line for line in section.split("\n## ")[0].splitlines() if line[:1] == "|")
    listed = set(re.findall(r"`(\w+)`", table))
    assert set(extend.__all__) <= listed


def test_the_examples_in_the_pages_import_nothing_else_of_segue():
    for name in ("adding-a-channel.md", "conditions.md", "live-details.md", "snapshots.md"):
        blocks = re.findall(r"(?ms)^```python.*?^```$", (DOCS / name).read_text())
        modules = re.findall(r"(?m)^(?:from|import) (segue[\w.]*)", "\n".join(blocks))
        # beside it, what DAGs written by hand may import
        others = {module for module in modules if not module.startswith("segue.operators.")}
        assert others == {"segue.extend"}, name


def test_it_starts_without_anything_heavy():
    """A DAG file imports a team's channel in every task process."""
    code = f"import sys, segue.extend; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
