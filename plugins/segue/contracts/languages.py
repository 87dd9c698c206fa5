"""The language of a message: which of a text's translations is taken, and how values are printed.

A language is named as in BCP 47, ``pt-BR``. What is asked for falls back from ``pt-BR`` to ``pt``
and then to the action's default, and so does what nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from glob import escape
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from segue.documents import Definition
from segue.errors import ContactFailure

UNSAID = "en"  # of an action that says nothing of languages
IN_FILES = "{language}"  # where the name of a template's file has the language
LANGUAGE = "^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"
_TAG = re.compile(LANGUAGE)
_IN_A_NAME = re.compile(r"[a-z]{2}(-.*)?")  # of a file: ``old`` and ``bak`` are no languages there
_LONGEST = 35  # characters of a tag: longer ones are no language's

_language: ContextVar[str] = ContextVar("language", default=UNSAID)


def is_language(text: object) -> bool:
    """Tell whether a text names a language as definitions do: ``de``, ``pt-BR``, ``zh-Hant-TW``."""
    return isinstance(text, str) and _TAG.fullmatch(text) is not None


def _tag(text: str) -> str:
    if not is_language(text):
        raise ValueError(f"found {text!r}; allowed: a language such as en, de or pt-BR")
    return text


class Languages(Definition):
    """Which field of a contact names its language, and which one everybody else is written in."""

    field: Annotated[str, Field(min_length=1)]
    default: Annotated[str, AfterValidator(_tag)]

    def of(self, variables: Mapping[str, Any], available: Iterable[str]) -> str:
        """Return which of the languages is the contact's, else the default.

        In a digest, which is about many contacts, it is the default.
        """
        contact = variables.get("contact")
        wish = contact.get(self.field) if isinstance(contact, Mapping) else None
        by_tag = {tag.casefold(): tag for tag in available}
        wishes = _with_fallbacks(wish) if isinstance(wish, str) else ()
        return next((by_tag[each] for each in wishes if each in by_tag), self.default)


def _with_fallbacks(wish: str) -> Iterator[str]:
    """Yield ``pt-br``, then ``pt``."""
    parts = wish[: _LONGEST + 1].strip().casefold().replace("_", "-").split("-")
    if len(wish) <= _LONGEST:
        for size in range(len(parts), 0, -1):
            yield "-".join(parts[:size])


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Print what is rendered within as a language does."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def spoken() -> str:
    """Return the language of what is rendered now."""
    return _language.get()


def require_language(text: object) -> str:
    """Return a language that a template names, as ``locale=`` of a filter; raise ContactFailure."""
    tag = text.replace("_", "-") if isinstance(text, str) and len(text) <= _LONGEST else ""
    if not is_language(tag):
        raise ContactFailure("a filter's locale is no language such as de or pt-BR")
    return str(tag)


def texts_by_language(value: object, folder: object) -> list[tuple[str, object]]:
    """Return each language and its text, as a mapping has them or files of one name; else none."""
    if not isinstance(value, dict) or not value:
        return []
    if all(map(is_language, value)):
        return list(value.items())
    name = value.get("file")
    if list(value) != ["file"] or not isinstance(name, str) or IN_FILES not in name:
        return []
    begin, _, end = name.partition(IN_FILES)
    if folder is None or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"found {name!r}; allowed: a name in the folder of templates")
    root = Path(str(folder))
    paths = sorted(
        path.relative_to(root).as_posix() for path in root.glob(f"{escape(begin)}*{escape(end)}")
    )
    tags = [path[len(begin) : len(path) - len(end)] for path in paths]
    files = [(tag, {"file": path}) for tag, path in zip(tags, paths, strict=True)]
    found = [(tag, file) for tag, file in files if is_language(tag) and _IN_A_NAME.fullmatch(tag)]
    if not found:
        raise ValueError(f"there is no template {name!r} of any language in {root}")
    return list(found)
