"""What cannot be the id of an Airflow connection: mostly a URL or a secret, pasted for the id."""

from __future__ import annotations

import re
from collections.abc import Iterator

from segue.contracts.stray_templates import stray_template
from segue.documents import Location

# the characters that Airflow takes in an id (``RE_SANITIZE_CONN_ID`` of Airflow 3.3)
_ID = re.compile(r"[\w#!()\-.:/\\]+")

_NO_ID = (
    "is not the id of an Airflow connection; a URL, a login or a token stands in the connection "
    "itself, and its id here"
)


def connection_problems(connection: str) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with the text of a field ``connection``; it is not repeated."""
    if stray_template(connection) is not None:
        return  # told already, as what it is
    if "://" in connection or not _ID.fullmatch(connection):
        yield ("connection",), _NO_ID
