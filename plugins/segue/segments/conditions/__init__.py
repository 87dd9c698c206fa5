"""The condition language: what it may say, how it is read, what it asks of the data.

Nothing here computes over contacts (segments/evaluation.py does) and nothing imports pandas, so
a DAG file can parse conditions cheaply.
"""

from __future__ import annotations

from segue.segments.conditions import operators as _builtin  # noqa: F401 - registers them
from segue.segments.conditions import time_operators as _of_time  # noqa: F401 - likewise
