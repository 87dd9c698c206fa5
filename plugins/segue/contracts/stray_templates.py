"""Templates where none is read: ``{{ … }}`` in a text that is taken as it is written.

It would be compared, sent or looked for letter by letter, and hardly anybody means that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from segue.documents import Definition, Location

LONGEST_SHOWN = 40  # characters

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def stray_template(text: str) -> str | None:
    """Return what is wrong with a text that is written as a template; None for any other."""
    match = _TEMPLATE.search(text)
    if match is None:
        return None
    excerpt = match[0] if len(match[0]) <= LONGEST_SHOWN else f"{match[0][:LONGEST_SHOWN]}…"
    return f"found {excerpt} where no template is read; it would stay as it is written"


def stray_templates(value: object, location: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield each text below a value that is written as a template and is none, with its place.

    ``value`` is a definition, or plain data of one; templates themselves are no texts in it.
    """
    if isinstance(value, str):
        message = stray_template(value)
        if message is not None:
            yield location, message
    elif isinstance(value, Definition):
        for name, info in type(value).model_fields.items():
            yield from stray_templates(getattr(value, name), (*location, info.alias or name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from stray_templates(item, (*location, str(key)))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from stray_templates(item, (*location, index))
