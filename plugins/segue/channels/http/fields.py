"""The fields of a request, as a definition writes them: path, JSON, query, headers.

Each is checked where it stands, so that ``segue validate`` names every mistake at once. What a
contact's values make of them is checked again when they are rendered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, PlainValidator, ValidationInfo, WithJsonSchema

from segue.channels.addressing import is_template
from segue.contracts.printing import Kind
from segue.contracts.templates import Line, Template, UrlPath, read_template
from segue.contracts.typed_values import read_typed_body, read_typed_value
from segue.documents import Location, ProblemsFound
from segue.errors import ContactFailure

_MOST_DECODINGS = 6
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONG_FORMS = re.compile(r"%u([0-9a-f]{4})|%(c0%ae|e0%80%ae)|%(?:c0%af|e0%80%af)", re.IGNORECASE)
_SLASHES = str.maketrans("\u2215\u2044\u29f8\u2216\u29f5", "///\\\\")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's name
_FIELD_VALUE = re.compile(r"[\x20-\x7e]*")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;[\x20-\x7e]*)?", re.ASCII)
_STRUCTURED = re.compile(r"application/(.+\+)?json|application/x-www-form-urlencoded")
_EXPRESSIONS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
# what the connection, the body's kind or HTTP itself decides
_NOT_YOURS = {
    *("authorization", "cookie", "proxy-authorization", "content-type", "content-length"),
    *("connection", "host", "te", "trailer", "transfer-encoding", "upgrade"),
}


def path_problem(path: str) -> str | None:
    """Return what is wrong with a path, as it is written or as it is rendered."""
    if not path.startswith("/"):
        return "must begin with /; the host is the connection's"
    if "//" in path:
        return "has an empty segment (//)"
    if leads_elsewhere(path):
        return "has a segment . or .., which would lead elsewhere"
    if re.search(r"[ ?#\\]", path) or any(map(_CONTROL.search, _decodings(path))):
        return "has a space, a control character, or one of ? # \\; a query stands in `query`"
    return None


def leads_elsewhere(path: str) -> bool:
    """Tell whether a path has a segment . or .. in it, however often a proxy decodes it.

    A proxy may decode ``%2F``, take a backslash or a wide slash for one, or leave out what follows
    a semicolon, before the path is split (RFC 3986, sections 3.3 and 6.2.2).
    """
    for text in _decodings(path):
        for segment in re.split(r"[/\\]", unicodedata.normalize("NFKC", text).translate(_SLASHES)):
            if segment.partition(";")[0].strip() in (".", ".."):
                return True
    return text != unquote(text)  # still encoded: nobody writes that without a purpose


def _decodings(path: str) -> Iterator[str]:
    """Yield a path, and what it is each time that its percents are decoded once more."""
    for _ in range(_MOST_DECODINGS):
        yield path
        plain = _LONG_FORMS.sub(_short_form, path)
        if unquote(plain) == path:
            return
        path = unquote(plain)


def _short_form(match: re.Match[str]) -> str:
    """Return the character of ``%u002e``, or of a . or / in more bytes of UTF-8 than it needs."""
    return chr(int(match[1], 16)) if match[1] else "." if match[2] else "/"


def header_value(name: str, value: str) -> str:
    """Return a header's value without the spaces around it, which HTTP does not carry."""
    if not _FIELD_VALUE.fullmatch(value):
        raise ContactFailure(f"headers.{name}: a character that a header cannot carry (not ASCII)")
    return value.strip()


def header_problem(name: str) -> str | None:
    """Return why an action cannot give a header of this name."""
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is not a header's name"
    if name.lower() in _NOT_YOURS:
        return f"{name!r} comes from the connection, or from the kind of body"
    return None


def text_of(value: object) -> str:
    """Return a scalar as it is written in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)


ReadText = Callable[[str, Location, Mapping[str, Any]], Template]


def read_json(value: object, read_text: ReadText) -> Any:
    """Read a value whose texts are templates; raise ProblemsFound with every one that is wrong.

    ``read_text`` is given a text, where it stands, and the mapping that holds it; it raises
    ValueError for one that cannot be.
    """
    problems: list[tuple[Location, str]] = []

    def read(part: object, location: Location, holder: Mapping[str, Any]) -> Any:
        if isinstance(part, Mapping):
            expressions = [key for key in part if "{{" in key or "{%" in key]
            problems.extend(((*location, key), "a key cannot be a template") for key in expressions)
            return {key: read(item, (*location, key), part) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return tuple(read(item, (*location, index), holder) for index, item in enumerate(part))
        if not isinstance(part, str):
            return part
        try:
            return read_text(part, location, holder)
        except ValueError as error:
            problems.append((location, str(error)))
            return None

    content = read(value, (), {})
    if problems:
        raise ProblemsFound(problems)
    return content


def none_of(own: Set[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a check that further fields are none of a channel's own; it raises ValueError."""

    def check(fields: dict[str, Any]) -> dict[str, Any]:
        for name in sorted(own & fields.keys()):
            raise ValueError(f"{name!r} has a key of its own in the action, or is not to be given")
        return fields

    return check


def _read_scalar(value: object, info: ValidationInfo) -> Template | int | float | bool:
    if isinstance(value, bool | int | float):
        return value
    return read_template(Kind.TEXT, value, info)


def _safe_path(path: Template) -> Template:
    problem = path_problem(_EXPRESSIONS.sub("x", path.source))
    if problem:
        raise ValueError(f"the path {problem}")
    return path


def _own_headers(headers: dict[str, Template]) -> dict[str, Template]:
    problems: list[tuple[Location, str]] = []
    for name, value in headers.items():
        problem = header_problem(name)
        if problem is None and not is_template(value) and not _FIELD_VALUE.fullmatch(value.source):
            problem = "a header carries ASCII only, on one line"
        if problem:
            problems.append(((name,), problem))
    if problems:
        raise ProblemsFound(problems)
    return headers


def _key_header(name: str) -> str:
    problem = header_problem(name)
    if problem:
        raise ValueError(problem)
    return name


def _media_type(text: str) -> str:
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"found {text!r}; allowed: a media type such as text/csv")
    if _STRUCTURED.fullmatch(text.partition(";")[0].strip().lower()):
        raise ValueError(f"{text!r} has rules that `text` does not keep; write `json` or `form`")
    return text


_ANY_JSON = WithJsonSchema(
    {
        "description": "any JSON; its texts are Jinja templates (text), and {number: TEXT}, "
        "{boolean: TEXT}, {optional: TEXT} and {each: EXPRESSION, give: VALUE} are what they "
        "become",
        "examples": [
            {"amount": {"number": "{{ contact.amount }}"}},
            {"rows": {"each": "digest.contacts", "give": {"id": "{{ contact.contact_id }}"}}},
        ],
    }
)
Json = Annotated[Any, PlainValidator(read_typed_value), _ANY_JSON]
Body = Annotated[Any, PlainValidator(read_typed_body), _ANY_JSON]
Scalar = Annotated[
    Any,
    PlainValidator(_read_scalar),
    WithJsonSchema(
        {
            "description": "a Jinja template (text)",
            "type": ["string", "number", "boolean", "object"],
        }
    ),
]
Headers = Annotated[dict[str, Line], AfterValidator(_own_headers)]
KeyHeader = Annotated[str, AfterValidator(_key_header)]
MediaType = Annotated[str, AfterValidator(_media_type)]
RequestPath = Annotated[UrlPath, AfterValidator(_safe_path)]
