"""Message templates: Jinja, sandboxed, rendered for one contact (docs/design.md, "Text").

A missing value is undefined: ``default(…)`` gives a substitute, printing it is a failure of the
contact, never a blank, ``None`` or ``nan``. What comes from a contact is data: each *kind* of
template escapes what its expressions print, and no filter can switch that off. No error says what
a field holds: where a template computes a name, the error leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from jinja2 import (
    DictLoader,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
    nodes,
)
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.filters import do_float, do_int
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from segue.contracts.bounds import (
    MADE,
    ROUNDS,
    TooMuch,
    binary,
    bounded,
    bounded_filter,
    call_within,
    count_printed,
    joinable,
    joined,
    made,
    rounds,
    with_bounds,
)
from segue.contracts.truth import (
    RESPELLING,
    VALUE,
    WORD,
    FieldText,
    default,
    is_false,
    is_true,
    of_word,
    value_of,
    with_truth,
    word_of,
)
from segue.documents import did_you_mean
from segue.errors import ContactFailure, TemplateAway

OF_ONE_CONTACT = ("contact", "change", "results")  # in a digest there is ``digest`` instead
VARIABLES = (*OF_ONE_CONTACT, "workflow", "segment", "snapshot", "key", "digest")


class Kind(StrEnum):
    """What a rendered template becomes, which decides how expressions are escaped."""

    TEXT = "text"  # plain text
    LINE = "line"  # one line: a subject, a name, an address
    HTML = "html"
    MRKDWN = "mrkdwn"  # Slack's markup
    PATH = "path"  # the path of a URL: what an expression prints is within one segment
    URL = "url"  # one line, whose expressions are parts of a path or a query
    CARD = "card"  # the Markdown of an Adaptive Card


@dataclass(frozen=True, slots=True)
class Template:
    """One template: its source, its kind, and the folder of those it extends or includes."""

    source: str
    kind: Kind
    folder: str | None = None
    file: str | None = None

    def references(self) -> Iterator[tuple[str, ...]]:
        """Yield the dotted names that the template reads, such as ``("contact", "email")``.

        Those of the templates it extends or includes are among them.
        """
        for _, tree in _trees(self):
            for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name)):
                name = _dotted(node)
                if name is not None:
                    yield name

    def reads(self) -> set[str]:
        """Return the variables that the template needs from outside.

        What a template that it includes reads may be the variable of a loop around it.
        """
        trees = [tree for _, tree in _trees(self)]
        loop_names = {
            loop.target.name
            for tree in trees
            for loop in tree.find_all(nodes.For)
            if isinstance(loop.target, nodes.Name)
        }
        own, *others = [meta.find_undeclared_variables(tree) for tree in trees]
        return own.union(*(names - loop_names for names in others))

    def references_to(self, variable: str, *, digest: bool = False) -> Iterator[tuple[str, ...]]:
        """Yield what is read of ``contact`` or ``results``, such as ``("email",)``.

        In a digest's template that is of each contact, in loops over ``digest.contacts``.
        """
        begins = {(variable,)}
        if digest:
            prefix = () if variable == "contact" else (variable,)
            begins = {(name, *prefix) for name in self._names_of_contacts()}
        for reference in self.references():
            for begin in begins:
                if reference[: len(begin)] == begin and len(reference) > len(begin):
                    yield reference[len(begin) :]

    def fields_read(self, *, digest: bool = False) -> frozenset[str] | None:
        """Return which fields of a contact rendering may read; None where it may read any.

        It may where a name is computed, or the contact is handed on as a whole.
        """
        contacts = self._names_of_contacts() if digest else {"contact"}
        for _, tree in _trees(self):
            for name, node, parent in _names_in(tree):
                if name.name in contacts and not _is_a_field(node):
                    return None
                of_all = digest and name.name in ("digest", "loop")
                if of_all and not _keeps_contacts(name.name, node, parent):
                    return None
        return frozenset(read[0] for read in self.references_to("contact", digest=digest))

    def _names_of_contacts(self) -> set[str]:
        return {
            loop.target.name
            for _, tree in _trees(self)
            for loop in tree.find_all(nodes.For)
            if isinstance(loop.target, nodes.Name) and _are_contacts(loop.iter)
        }


class Fields(Mapping[str, Any]):
    """Values that a template reaches by name; it exposes entries and never methods."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self._name = name
        self._values = {
            key: _field_value(f"{name}.{key}", value)
            for key, value in values.items()
            if not is_missing(value)
        }

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<the fields of {self._name}>"

    def __str__(self) -> str:
        raise ContactFailure(f"the template prints {self._name} as a whole; name one of its fields")


class _NoItems(list[Any]):
    """A field that is an empty list, which is missing where it is printed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class _MissingField(UndefinedError):
    """A field that is not there, under a name that stands in the template."""


def union(read: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """Return the fields that any of several readers reads; None where one may read any."""
    names: frozenset[str] = frozenset()
    for each in read:
        if each is None:
            return None
        names |= each
    return names


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """Render ``template``; raise ContactFailure for a missing field or a value that cannot be.

    Raises TemplateAway where a template that it includes is not there, which is nobody's failure.

    ``variables`` maps VARIABLES to text or ``Fields``.
    """
    try:
        with bounded():
            text = joined(_compile(template).generate(variables))
    except ContactFailure:
        raise
    except TooMuch as error:
        raise ContactFailure(f"the template does too much for one message: {error}") from None
    except _MissingField as error:
        raise ContactFailure(f"missing field: {error.message}") from None
    except UndefinedError as error:
        raise ContactFailure(f"missing field: {_described(error, template)}") from None
    except (TemplateNotFound, TemplateSyntaxError) as error:
        raise TemplateAway(f"the template {error.name} cannot be read, and is needed") from None
    except SecurityError:
        raise ContactFailure("the template does what the sandbox does not allow") from None
    except Exception as error:  # noqa: BLE001 - of any kind: it is this contact's values alone
        # the message of such an error may quote contact text
        hint = _NO_NUMBER if isinstance(error, TypeError) else ""
        raise ContactFailure(f"the template failed: {type(error).__name__}{hint}") from None
    if template.kind is Kind.MRKDWN:
        text = _unescape_quotes(text)
    if template.kind in (Kind.LINE, Kind.PATH, Kind.URL) and not _is_one_line(text):
        raise ContactFailure("a line break or control character in a field that is one line")
    return text


_NO_NUMBER = (
    "; to count with a field that is text, as every field of a CSV file is, read it with the "
    "filter `number`: contact.balance | number; to compare a date with text, write it as text: "
    "contact.seen.isoformat()"
)


def _described(error: UndefinedError, template: Template) -> str:
    """Return an error's message where it holds no more than the template does."""
    message = error.message or ""
    static = {".".join(reference) for reference in template.references()}
    if message in static or message == _PRINTED_EMPTY:
        return message
    return "one whose name the template computes, or an item that is not there"


def read_template(kind: Kind, value: object, info: ValidationInfo) -> Template:
    """Read a template from YAML: text, or ``{file: NAME}`` in the definitions' templates folder."""
    if isinstance(value, Template):
        return value
    folder = (info.context or {}).get("templates")
    if isinstance(value, str):
        template = Template(value, kind, str(folder) if folder else None)
    elif isinstance(value, dict) and list(value) == ["file"] and isinstance(value["file"], str):
        template = Template(_read(folder, value["file"]), kind, str(folder), value["file"])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"found the number {value!r}; allowed: text (put it in quotes)")
    else:
        raise ValueError(f"found {value!r}; allowed: text, or {{file: NAME}} in templates/")
    _check(template)
    return template


def _to_data(template: Template) -> object:
    return {"file": template.file} if template.file else template.source


def _field(kind: Kind) -> Any:
    return Annotated[
        Template,
        PlainValidator(partial(read_template, kind)),
        PlainSerializer(_to_data),
        WithJsonSchema(
            {
                "description": f"a Jinja template ({kind.value})",
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {"file": {"type": "string"}},
                        "required": ["file"],
                        "additionalProperties": False,
                    },
                ],
            }
        ),
    ]


# the types that channels give their fields
Text = _field(Kind.TEXT)
Line = _field(Kind.LINE)
Html = _field(Kind.HTML)
Mrkdwn = _field(Kind.MRKDWN)
UrlPath = _field(Kind.PATH)
Url = _field(Kind.URL)
CardText = _field(Kind.CARD)


def _read(folder: object, name: str) -> str:
    if folder is None:
        raise ValueError(f"{{file: {name}}} needs a templates folder")
    root = Path(str(folder)).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"the template {name!r} is outside of {root}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"the template {name!r} cannot be read from {root}") from None


def _check(template: Template) -> None:
    """Raise ValueError for a template that no contact could make work."""
    try:
        for name, tree in _trees(template):
            _check_tree(tree, f" in {name}" if name else "")
        _compile(template)
    except TemplateSyntaxError as error:
        line = f"{error.name or template.file or 'template'} line {error.lineno}"
        raise ValueError(f"is not a valid template ({line}): {error.message}") from None
    except TemplateNotFound as error:
        raise ValueError(f"the template {error.name!r} does not exist in templates/") from None
    except RecursionError:
        raise ValueError("is not a valid template: it is nested too deeply") from None


def _check_tree(tree: nodes.Template, where: str) -> None:
    if next(tree.find_all(nodes.ScopedEvalContextModifier), None) is not None:
        message = f"{{% autoescape %}} is not allowed{where}: contact text is always escaped"
        raise ValueError(message)
    if None in meta.find_referenced_templates(tree):
        raise ValueError(f"the name of a template is computed{where}; write it as plain text")
    environment = _environment(Kind.TEXT, None)
    for kind, words in ((nodes.Filter, environment.filters), (nodes.Test, environment.tests)):
        for node in tree.find_all(kind):  # inside an `if` Jinja would find out at run time only
            if node.name not in words:
                raise ValueError(f"No {kind.__name__.lower()} named {node.name!r}{where}")
    for name in sorted(meta.find_undeclared_variables(tree) - set(VARIABLES)):
        hint = did_you_mean(name, VARIABLES) or f"; did you mean contact.{name}?"
        raise ValueError(f"unknown name {name!r}{where}; allowed: {', '.join(VARIABLES)}{hint}")


class _Missing(StrictUndefined):
    """A missing value: false in ``{% if %}`` and for ``or``; an error where it is printed."""

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with ``Fields`` read by entry only, and nothing changed by a template.

    What a template costs is bounded: see ``segue.contracts.bounds``.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return ``obj.attribute``; the name stands in the template."""
        if isinstance(obj, Fields):
            return self._entry(obj, attribute, _MissingField)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return ``obj[argument]``; the name may come from a contact."""
        if isinstance(obj, Fields):
            return self._entry(obj, argument, UndefinedError)
        return super().getitem(obj, argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator gives, within bounds."""
        return binary(operator, left, right, self.binop_table[operator])

    def call(__self, __context: Any, __obj: Any, *args: Any, **named: Any) -> Any:  # noqa: N805
        """Call a macro or a method, within bounds."""
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja's own around str.format
        name = getattr(method, "__name__", "")
        arguments = joinable(name, args)
        return call_within(
            lambda: super(_Environment, __self).call(__context, __obj, *arguments, **named),
            name,
            getattr(method, "__self__", None),
            [*arguments, *named.values()],
        )

    def _generate(self, source: Any, *args: Any, **named: Any) -> str:
        return super()._generate(with_truth(with_bounds(source)), *args, **named)

    def _entry(self, fields: Fields, name: Any, error: type[UndefinedError]) -> Any:
        if name in fields:
            return fields[name]
        return self.undefined(f"{fields._name}.{name}", obj=fields, name=str(name), exc=error)


_PRINTED_EMPTY = "an empty value is printed"


def _print_plain(value: Any) -> Any:
    """Turn a value into what a reader expects: no ``.0``, no ``None``, no ``nan``."""
    if isinstance(value, str):  # an empty one is what the template asks for: default("")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_missing(value):
        raise UndefinedError(_PRINTED_EMPTY)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return _decoded(value)
    return _print_parts(value) if isinstance(value, _COMPOSED) else _print_whole(value)


def _print_whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float) and value in _INFINITE:
        raise ContactFailure("the template prints a number that is infinite")
    return str(value) if isinstance(value, int | float | timedelta) else value


_INFINITE = (float("inf"), float("-inf"))


def _print_parts(value: Any) -> str:
    if isinstance(value, _NoItems):
        raise _MissingField(value.name)
    if value == []:
        raise UndefinedError(_PRINTED_EMPTY)
    if isinstance(value, list) and not any(isinstance(item, _COMPOSED) for item in value):
        return ", ".join(str(_print_plain(item)) for item in value)
    raise ContactFailure("the template prints a list or a record as a whole; print its parts")


_COMPOSED = (list, tuple, dict)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ContactFailure("the template prints bytes that are no text") from None


def _number(value: Any) -> Any:
    """Return a field as a number, as conditions read it; a ContactFailure where it is none."""
    from segue.segments.columns.readings import (
        read_number,  # dear: DAG files are parsed without Arrow
    )

    number = read_number(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        if isinstance(value, StrictUndefined):
            return value
        raise ContactFailure("the filter `number` meets a value that is no number")
    if isinstance(value, str) and isinstance(number, Decimal):
        return int(number) if number == number.to_integral_value() else float(number)
    return number


def _whole_number(value: Any, default: Any = None, base: int = 10) -> Any:
    """Return what Jinja's ``int`` does; without a default it makes no 0 of what is no number."""
    return _read_or_fail("int", do_int(value, default, base))


def _float(value: Any, default: Any = None) -> Any:
    """Return what Jinja's ``float`` does; without a default it makes no 0 of what is no number."""
    return _read_or_fail("float", do_float(value, default))


def _read_or_fail(name: str, number: Any) -> Any:
    if number is None:
        raise ContactFailure(f"the filter `{name}` meets a value that is no number")
    return number


def _print_in_url(value: Any) -> str:
    """Turn a value into part of a URL: what a contact wrote begins no parameter and no path.

    It stays within one segment of a path (RFC 3986, section 3.3).
    """
    return quote(str(_print_plain(value)), safe="")


_CARD_MARKS = re.compile(r"[\\`*_{}\[\]()<>~]|&(?=#?\w+;)")
_CARD_LISTS = re.compile(r"^([ \t]*)(?:([-+#=])(?=[\s#=-]|$)|([0-9]+)(\.)(?=\s|$))", re.MULTILINE)


def _print_in_card(value: Any) -> str:
    """Turn a value into text of a card's Markdown: nobody can link, mention or format.

    Cards understand a part of CommonMark, where a backslash makes any mark a character
    (https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features,
    https://spec.commonmark.org/0.31.2/#backslash-escapes). Brackets, parentheses and braces are
    each escaped, so that no link, ``<at>`` or ``{{DATE(…)}}`` is left for a client that does not
    know about backslashes; some on phones show them.
    """
    text = _CARD_MARKS.sub(r"\\\g<0>", str(_print_plain(value)))
    return _CARD_LISTS.sub(
        lambda found: "".join([found[1], found[3] or "", "\\", found[2] or found[4]]), text
    )


def _unescape_quotes(text: str) -> str:
    """Give back the quotes that HTML escapes and Slack does not know how to read.

    Slack's markup is escaped as HTML is (``&``, ``<``, ``>``), so a contact cannot mention or link
    (https://docs.slack.dev/messaging/formatting-message-text). An entity in a contact's own text
    has its ``&`` escaped, so it stays what it was.
    """
    return text.replace("&#34;", '"').replace("&#39;", "'")


class _Folder(FileSystemLoader):
    """The templates of a folder, never what a link in it leads to outside."""

    def get_source(self, environment: Any, template: str) -> Any:
        """Return a template's source; raise TemplateNotFound where it cannot be read."""
        try:
            source = super().get_source(environment, template)
        except (OSError, UnicodeDecodeError):  # TemplateNotFound is an OSError
            raise TemplateNotFound(template) from None
        root = Path(self.searchpath[0]).resolve()
        if not Path(source[1]).resolve().is_relative_to(root):
            raise TemplateNotFound(template)
        return source


_FINALIZE = {Kind.PATH: _print_in_url, Kind.URL: _print_in_url, Kind.CARD: _print_in_card}


@lru_cache(maxsize=64)
def _environment(kind: Kind, folder: str | None) -> ImmutableSandboxedEnvironment:
    environment = _Environment(
        undefined=_Missing,
        autoescape=kind in (Kind.HTML, Kind.MRKDWN),
        finalize=_printing(_FINALIZE.get(kind, _print_plain)),
        loader=_Folder(folder) if folder else DictLoader({}),
        keep_trailing_newline=False,
    )
    for name in ("attr", "safe", "urlize", "xmlattr"):  # each trusts text that a contact may write
        del environment.filters[name]
    environment.filters |= {"number": _number, "default": default, "d": default}
    environment.filters |= {"int": _whole_number, "float": _float}
    environment.filters |= {name: of_word(environment.filters[name]) for name in RESPELLING}
    environment.tests |= {"true": is_true, "false": is_false}
    filters = environment.filters.items()
    environment.filters = {name: bounded_filter(name, function) for name, function in filters}
    environment.filters |= {ROUNDS: rounds, MADE: made, VALUE: value_of, WORD: word_of}
    environment.globals.clear()
    return environment


def _printing(print_: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: count_printed(print_(value))


@lru_cache(maxsize=512)
def _compile(template: Template) -> Any:
    return _environment(template.kind, template.folder).from_string(template.source)


@lru_cache(maxsize=512)
def _parse(template: Template) -> nodes.Template:
    return _environment(template.kind, template.folder).parse(template.source)


def _trees(template: Template) -> Iterator[tuple[str | None, nodes.Template]]:
    """Yield the parsed template, then those that it extends, includes or imports, by name."""
    environment = _environment(template.kind, template.folder)
    assert environment.loader is not None
    queue: list[tuple[str | None, nodes.Template]] = [(template.file, _parse(template))]
    files = {template.file, None}
    while queue:
        file, tree = queue.pop()
        yield file, tree
        for name in meta.find_referenced_templates(tree):
            if name not in files:
                files.add(name)
                source = environment.loader.get_source(environment, str(name))[0]
                queue.append((name, environment.parse(source, name)))


_OF_THE_SAME = frozenset({"list", "rejectattr", "reverse", "selectattr", "sort", "unique"})


def _are_contacts(node: nodes.Node) -> bool:
    """Tell whether an expression is ``digest.contacts``, or some of them, or in another order."""
    while isinstance(node, nodes.Getitem | nodes.Filter) and node.node is not None:
        same = node.name in _OF_THE_SAME if isinstance(node, nodes.Filter) else True
        if not same or (isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice)):
            break
        node = node.node
    return _dotted(node) == ("digest", "contacts")


def _names_in(
    node: nodes.Node, *above: nodes.Node
) -> Iterator[tuple[nodes.Name, nodes.Node, Sequence[nodes.Node]]]:
    """Yield each name that is read below ``node``, with what it stands in, and what that is in.

    The last are all nodes around it, the innermost first.
    """
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Name) and child.ctx == "load":
            yield child, node, above
        yield from _names_in(child, node, *above)


def _is_a_field(node: nodes.Node) -> bool:
    """Tell whether ``contact.email`` or ``contact["email"]`` is read here."""
    is_computed = isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const)
    return isinstance(node, nodes.Getattr | nodes.Getitem) and not is_computed


def _keeps_contacts(name: str, node: nodes.Node, above: Sequence[nodes.Node]) -> bool:
    """Tell whether ``digest`` and ``loop`` are used here without handing contacts on."""
    attribute = node.attr if isinstance(node, nodes.Getattr) else None
    if name == "loop":
        return attribute not in (None, "previtem", "nextitem")
    if attribute == "contacts":
        user = next((each for each in above if not _is_a_part(each)), None)
        is_counted = isinstance(user, nodes.Filter) and user.name in ("length", "count")
        return is_counted or (isinstance(user, nodes.For) and isinstance(user.target, nodes.Name))
    return attribute is not None


def _is_a_part(node: nodes.Node) -> bool:
    """Tell whether some of what is inside are taken here, or all in another order, unread."""
    if isinstance(node, nodes.Filter):
        return node.name in ("list", "reverse")
    return isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)


def _dotted(node: nodes.Node) -> tuple[str, ...] | None:
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        inner, name = _dotted(node.node), node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        inner, name = _dotted(node.node), str(node.arg.value)
    else:
        return None
    return (*inner, name) if inner else None


def _is_one_line(text: str) -> bool:
    return not any(ord(char) < 32 or char in "\x7f\x85\u2028\u2029" for char in text)


def _field_value(name: str, value: Any) -> Any:
    """Return a value as templates handle it: whole floats are integers, wherever they are used."""
    if isinstance(value, Fields):
        return value
    if isinstance(value, Mapping):
        return Fields(name, value)
    if isinstance(value, list | tuple):
        if not value:
            return _NoItems(name)
        return [_field_value(f"{name}.{index}", item) for index, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return FieldText(value) if isinstance(value, str) else value


def is_missing(value: Any) -> bool:
    """Tell whether a field has no value: None, NaN, NaT or an empty text."""
    if value is None or (isinstance(value, str) and value == ""):
        return True
    try:
        return bool(value != value)  # true of NaN and NaT
    except TypeError:  # pandas' NA is neither equal nor unequal to itself
        return True
    except ValueError:  # an array
        return False


__all__ = [
    "VARIABLES",
    "CardText",
    "Fields",
    "Html",
    "Kind",
    "Line",
    "Mrkdwn",
    "Template",
    "Text",
    "Url",
    "UrlPath",
    "render",
    "union",
]
