"""Where a value stands in HTML, which decides how it is escaped or that it cannot stand there.

A small reading of the tokenizer of https://html.spec.whatwg.org/multipage/parsing.html (2026-11),
followed through the author's own text. In text and in quoted attributes a value is escaped. A URL
(``href``, ``src``) it may continue, or be as a whole with http, https, mailto or tel. In a style it
is words and numbers. In a script, in a comment, without quotes, and as the name of a tag or an
attribute it cannot stand at all.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from markupsafe import escape

from segue.contracts.rendered import NO_TEXT, Piece, is_placeholder
from segue.errors import ContactFailure

URL_ATTRIBUTES = frozenset(
    {
        *("action", "archive", "background", "cite", "classid", "codebase", "data", "dynsrc"),
        *("formaction", "href", "icon", "longdesc", "lowsrc", "manifest", "ping", "poster"),
        *("imagesrcset", "profile", "src", "srcset", "usemap", "xlink:href"),
    }
)
_LISTS = frozenset({"archive", "imagesrcset", "ping", "profile", "srcset"})  # of several URLs
_CODE = frozenset({"javascript", "vbscript", "livescript", "data"})  # schemes that run or are pages
_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_TEXT_ONLY = frozenset({"title", "textarea"})  # whose content knows entities, and no tags
_RAW = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes", "plaintext"})
_LONGEST_ADDRESS = 300  # characters in which the host of a URL must be past

_OPENING = re.compile(r"<(?:!--|/?[A-Za-z][^\s/>]*|[!?/]|\Z)")
_TAG_NAME = re.compile(r"[^\s/>]*")
_ATTRIBUTE_NAME = re.compile(r"=?[^\s/>=]*")
_BLANKS = re.compile(r"\s*")
_COMMENT_END = re.compile(r"--!?>")
_NO_COMMENT = re.compile(r"-?>|\[if\b[^\]<>]*\]>", re.IGNORECASE)  # Outlook reads on behind [if]>
_STYLE_WORD = re.compile(r"[\w#%., -]*", re.ASCII)
_BARE_NAME = re.compile(r"(?!on)[A-Za-z][A-Za-z0-9-]*", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?([/?#].*)?", re.DOTALL)
_PART_OF_A_HOST = re.compile(r"[A-Za-z0-9-]*([/?#].*)?", re.DOTALL)


class Place(Enum):
    """Where in HTML the text has come to."""

    TEXT = auto()
    TAG = auto()  # in the name of a tag, or behind a < that may begin one
    ATTRIBUTES = auto()  # between attributes, or in the name of one
    EQUALS = auto()  # behind the =
    VALUE = auto()
    RAW = auto()  # in a script, a style or another element whose content is no HTML
    COMMENT = auto()
    DECLARATION = auto()  # <!doctype …>


class State(NamedTuple):
    """A place, and what of the way there matters.

    ``attribute`` ends with a blank where its name does. ``address`` is what is there of a URL whose
    host is not past yet, None once it is.
    """

    place: Place = Place.TEXT
    tag: str = ""
    attribute: str = ""
    quote: str = ""
    address: str | None = None


def escaped_html(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the pieces with data escaped for its place; raise ContactFailure where it cannot be.

    It is judged without control characters, too: whoever leaves them out later, as mail does, would
    make ``javascript:`` of what had one in it.
    """
    state = State()
    for text, is_data in pieces:
        if is_data:
            plain = NO_TEXT.sub("", text)
            for version in {text, plain}:
                _require_fit(state, version)
            yield Piece(str(escape(text)), True)
            state = _behind_data(state, plain)
        else:
            yield Piece(text, False)
            state = behind(state, text)


def problem_at(state: State) -> str | None:
    """Return why no value may stand at a place, whatever it holds; None where one may."""
    if state.place is Place.RAW and state.tag not in _TEXT_ONLY | {"style"}:
        return f"in <{state.tag}>, where nothing can be escaped"
    if state.place is Place.VALUE:
        return _problem_in_attribute(state)
    return {
        Place.TAG: "as the name of a tag",
        Place.ATTRIBUTES: "between the attributes of a tag; write the attribute's name and quotes",
        Place.EQUALS: f"in {state.attribute}= without quotes; put it in quotes",
        Place.COMMENT: "in a comment, which is sent all the same; {# … #} is one of the template",
        Place.DECLARATION: "in a declaration",
    }.get(state.place)


def _problem_in_attribute(state: State) -> str | None:
    if not state.quote:
        return f"in {state.attribute}= without quotes; put it in quotes"
    if state.attribute.startswith("on") or state.attribute == "srcdoc":
        return f"in {state.attribute}=, which is code"
    if (state.tag, state.attribute) == ("meta", "content"):
        return "in the content of a <meta>"
    scheme = _SCHEME.match(state.address or "")
    if scheme and scheme[1].lower() in _CODE:
        return f"in a URL that begins with {scheme[0]}"
    return None


def _require_fit(state: State, text: str) -> None:
    """Raise ContactFailure where data cannot stand at a place."""
    problem = problem_at(state)
    if problem and not (state.place is Place.ATTRIBUTES and is_bare_name(text)):
        raise ContactFailure(f"a value stands {problem}")
    in_style = (state.place, state.tag) == (Place.RAW, "style") or state.attribute == "style"
    if in_style and not _STYLE_WORD.fullmatch(text):
        raise ContactFailure("a value in a style is more than words and numbers")
    if state.place is Place.VALUE and state.attribute in URL_ATTRIBUTES:
        if state.attribute in _LISTS and re.search(r"[\s,]", text):
            raise ContactFailure(
                f"a value in {state.attribute}= has a blank or a comma, behind which is another URL"
            )
        _require_part(state.address, text)


def _require_part(address: str | None, text: str) -> None:
    """Raise ContactFailure where data leads a URL elsewhere than the author wrote."""
    if address is not None:
        _require_address(address, text)
    if address != "" and {".", ".."} & set(re.split(r"[/\\]", text)):
        raise ContactFailure("a value in a URL has a segment . or .., which would lead elsewhere")


def _require_address(address: str, text: str) -> None:
    """Raise ContactFailure where data makes a URL one that the author did not write."""
    scheme = _SCHEME.match(address)
    rest = address[scheme.end() :] if scheme else address
    if rest.startswith("//"):
        if not (_PART_OF_A_HOST if rest[2:] else _HOST).fullmatch(text):
            raise ContactFailure("a value in a URL is more than a part of its host")
    elif rest == "/" and text[:1] in ("/", "\\"):
        raise ContactFailure("a value in a URL begins with a second /, behind which is a host")
    elif not scheme and not is_placeholder(text):
        whole = _SCHEME.match(_squeezed(address + text))
        if whole and (address or whole[1].lower() not in _SCHEMES):
            raise ContactFailure("a value is a URL, and not one of http, https, mailto or tel")


def _squeezed(url: str) -> str:
    """Return a URL as browsers read it: no blanks in front, and no tabs and line breaks."""
    return re.sub(r"[\t\n\r]", "", url).lstrip("".join(map(chr, range(33))))


def _behind_data(state: State, text: str) -> State:
    if state.place is Place.ATTRIBUTES:
        return state._replace(attribute=state.attribute.strip() + text.lower())
    if state.place is Place.VALUE and state.address is not None:
        return state._replace(address=_address(state.address + text))
    return state


def _address(url: str) -> str | None:
    """Return what is there of a URL, or None once no value can change where it leads."""
    url = _squeezed(url)
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() in _CODE:
        return scheme[0]
    if scheme and scheme[1].lower() not in ("http", "https"):
        return None
    rest = url[scheme.end() :] if scheme else url
    is_open = rest in ("", "/") or not re.search(r"[/?#\\]", rest.removeprefix("//"))
    return url[:_LONGEST_ADDRESS] if is_open else None


@lru_cache(maxsize=2048)
def behind(state: State, text: str) -> State:
    """Return the state behind a text of the author's."""
    position = 0
    while position < len(text):
        state, position = _STEPS[state.place](state, text, position)
    return state


Step = tuple[State, int]  # the state behind a token, and where that ends


def _in_text(state: State, text: str, position: int) -> Step:
    match = _OPENING.search(text, position)
    if match is None:
        return state, len(text)
    opening, end = match[0], match.end()
    if opening == "<!--":
        none = _NO_COMMENT.match(text, end)
        return (State(), none.end()) if none else (State(Place.COMMENT), end)
    if opening in ("<!", "<?") or (opening == "</" and end < len(text)):
        return State(Place.DECLARATION), end
    return State(Place.TAG, opening[1:].lower()), end


def _in_tag(state: State, text: str, position: int) -> Step:
    """Go on in a tag's name, which may have begun in an earlier text."""
    end = _end_of(_TAG_NAME, text, position)
    place = Place.ATTRIBUTES if end < len(text) else Place.TAG
    return State(place, state.tag + text[position:end].lower()), end


def _in_attributes(state: State, text: str, position: int) -> Step:
    char, name = text[position], state.attribute
    if char == ">":
        is_raw = state.tag in _RAW | _TEXT_ONLY
        return State(Place.RAW, state.tag) if is_raw else State(), position + 1
    if char == "=" and name:
        return state._replace(place=Place.EQUALS, attribute=name.strip()), position + 1
    if char == "/":  # behind it a = begins a name, and no value
        return state._replace(attribute=""), position + 1
    if char.isspace():
        return state._replace(attribute=f"{name.strip()} " if name else ""), position + 1
    end = _end_of(_ATTRIBUTE_NAME, text, position)
    part = text[position:end].lower()
    return state._replace(attribute=part if name.endswith(" ") else name + part), end


def _behind_equals(state: State, text: str, position: int) -> Step:
    end = _end_of(_BLANKS, text, position)
    char = text[end : end + 1]
    if not char:
        return state, end
    if char == ">":
        return State(Place.ATTRIBUTES, state.tag), end
    quote = char if char in "\"'" else ""
    address = "" if state.attribute in URL_ATTRIBUTES else None
    return state._replace(place=Place.VALUE, quote=quote, address=address), end + len(quote)


def _in_value(state: State, text: str, position: int) -> Step:
    end = re.compile(state.quote or r"[\s>]").search(text, position)
    if end is not None:
        return State(Place.ATTRIBUTES, state.tag), end.end() if state.quote else end.start()
    if state.address is not None:
        part = html.unescape(text[position:])
        state = state._replace(address=_address(state.address + part))
    return state, len(text)


def _in_raw(state: State, text: str, position: int) -> Step:
    end = re.compile(rf"</{state.tag}(?=[\s/>])", re.IGNORECASE).search(text, position)
    if end is None:
        return state, len(text)
    return State(Place.ATTRIBUTES, f"/{state.tag}"), end.end()


def _in_comment(state: State, text: str, position: int) -> Step:
    end = _COMMENT_END.search(text, position)
    return (State(), end.end()) if end else (state, len(text))


def _in_declaration(state: State, text: str, position: int) -> Step:
    end = text.find(">", position)
    return (State(), end + 1) if end >= 0 else (state, len(text))


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Return where a pattern ends that may match nothing."""
    match = pattern.match(text, position)
    return match.end() if match else position


_STEPS: dict[Place, Callable[[State, str, int], Step]] = {
    Place.TEXT: _in_text,
    Place.TAG: _in_tag,
    Place.ATTRIBUTES: _in_attributes,
    Place.EQUALS: _behind_equals,
    Place.VALUE: _in_value,
    Place.RAW: _in_raw,
    Place.COMMENT: _in_comment,
    Place.DECLARATION: _in_declaration,
}


def is_bare_name(value: object) -> bool:
    """Tell whether a value is nothing, or the name of an attribute alone, such as ``checked``."""
    return value == "" or (isinstance(value, str) and _BARE_NAME.fullmatch(value) is not None)
