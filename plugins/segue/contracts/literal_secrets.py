"""Credentials that are written out in a definition, where git, previews and reviewers have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from segue.contracts.templates import Template
from segue.contracts.typed_values import OF_TEXT
from segue.documents import Location

_SHORTEST = 6  # characters of a secret; shorter texts under such a name are mostly words
# what a name ends with, as letters alone: api_key, X-Auth-Token, clientSecret
_NAME = re.compile(
    r".*((api|app|access|account|auth|license|private|secret|shared|signing|subscription)key"
    r"|token|secret|password|passwd|passphrase|pwd|authorization|credentials?)"
)
# how well-known tokens begin, anywhere in a text
_TOKEN = re.compile(
    r"(?<![\w-])((Bearer|Basic)\s+[\w+/.=~-]{16,}|[sr]k_(live|test)_\w{8,}|xox[abeoprs]-[\w-]{8,}"
    r"|gh[opsur]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{12,}|AIza[\w-]{20,}"
    r"|SG\.[\w-]{8,}\.[\w-]{8,}|shp(at|ca|pa)_\w{16,}|pat-(na|eu)\d-[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY)"
)
# an address that is a secret by itself: whoever has it may write there, or read
_SECRET_ADDRESS = re.compile(
    r"hooks\.slack\.com/(services|workflows|triggers)/[\w/+-]{8,}"
    r"|webhook\.office\.com/webhookb2/[\w@-]{8,}|discord(app)?\.com/api/webhooks/\d+/[\w-]{8,}"
    r"|[?&](sig|(X-Amz-)?signature|(access_|auth_|api_)?token|api_?key|client_secret|password)"
    r"=[\w%+/.~-]{8,}",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\w[\w+.-]*://[^/\s@]*:[^/\s@]+@")  # with a password in it
_KEY = re.compile(r"(?=.*[0-9])(?=.*[a-zA-Z])[a-zA-Z0-9+=]{32,}")  # one long word, as keys are
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_MESSAGE = (
    "looks like a credential, and whoever sees the file or a preview has it; it belongs into the "
    "Airflow connection: its password, or a header in its extra, or `placed_secrets` there, which "
    "puts it into the path, the query or the body"
)


def literal_secrets(
    templates: Iterable[tuple[Location, Template]],
) -> Iterator[tuple[Location, str]]:
    """Yield each text that is probably a credential, with its place; it is not repeated."""
    for location, template in templates:
        if looks_secret(location, template.source):
            yield location, _MESSAGE


def looks_secret(location: Location, text: str) -> bool:
    """Tell whether a text is probably a credential, by itself or by the name it stands under."""
    source = _EXPRESSION.sub(" ", text)
    if _TOKEN.search(source) or _SECRET_ADDRESS.search(source):
        return True
    return _is_literal(text) and names_a_secret(location)


def is_a_key(text: str) -> bool:
    """Tell whether a text is a secret whatever it is called: a password in an address, a key."""
    return _ADDRESS.search(text) is not None or _KEY.fullmatch(text) is not None


def _is_literal(text: str) -> bool:
    is_one_word = len(text.split()) == 1 and len(text) >= _SHORTEST
    return is_one_word and _EXPRESSION.search(text) is None


def names_a_secret(location: Location) -> bool:
    """Tell whether the last name of a place is what a credential is called."""
    names = [part for part in location if isinstance(part, str) and part not in OF_TEXT]
    letters = re.sub(r"[^a-z]", "", names[-1].lower()) if names else ""
    return _NAME.fullmatch(letters) is not None
