"""What naming a channel costs: DAG files are parsed again in every task process."""

from __future__ import annotations

import subprocess
import sys

EXPENSIVE = ("airflow", "slack_sdk", "requests", "pandas", "pyarrow", "fastapi", "dns")


def test_reading_definitions_of_all_channels_imports_nothing_expensive():
    code = f"""
import sys
from segue.contracts.channel import BUILT_IN, channel_class
from segue.contracts.live_source import source_class, source_names
email = channel_class("email").model_validate(
    {{"to": "a@example.com", "from": "b@example.com", "subject": "a", "text": "b"}}
)
for name in BUILT_IN:
    assert channel_class(name).name == name
for name in source_names():
    assert source_class(name).name == name
print([name for name in {EXPENSIVE!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.strip() == "[]"
