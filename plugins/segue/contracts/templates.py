"""Message templates: Jinja, sandboxed, rendered for one contact (docs/design.md, "Text").

A missing value is undefined: ``default(…)`` gives a substitute, printing it is a failure of the
contact, never a blank, ``None`` or ``nan``. What comes from a contact is data: each *kind* of
template escapes what its expressions print, and no filter can switch that off. No error says what
a field holds: where a template computes a name, the error leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from jinja2 import TemplateNotFound, TemplateSyntaxError, meta, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from segue.contracts.bounds import TooMuch, bounded
from segue.contracts.jinja_sandbox import environment_of
from segue.contracts.languages import (
    LANGUAGE,
    UNSAID,
    Languages,
    speaking,
    texts_by_language,
)
from segue.contracts.printing import PRINTED_EMPTY, Kind
from segue.contracts.rendered import Piece, concat, is_unicode
from segue.contracts.template_names import (
    are_contacts,
    dotted_name,
    is_a_field,
    keeps_contacts,
    names_in,
)
from segue.contracts.template_places import place_problems
from segue.contracts.template_values import MissingField
from segue.contracts.writing import VendorMarkup, require_own, written
from segue.documents import did_you_mean
from segue.errors import ContactFailure, TemplateAway

OF_ONE_CONTACT = ("contact", "change", "results")  # in a digest there is ``digest`` instead
VARIABLES = (*OF_ONE_CONTACT, "workflow", "segment", "snapshot", "key", "digest")


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Template:
    """One template: its source, its kind, and the folder of those it extends or includes.

    It may stand for one round of ``loops``, as ``contact in digest.contacts``, the outermost first.
    Where a text is given by language, ``translations`` are all of them, and it is the default's.
    """

    source: str
    kind: Kind
    folder: str | None = None
    file: str | None = None
    loops: tuple[str, ...] = ()
    language: str = UNSAID
    languages: Languages | None = None  # that choose among translations
    translations: tuple[Template, ...] = ()

    def translated(self, variables: Mapping[str, Any]) -> Template:
        """Return the translation for the contact; itself where there are none."""
        if self.languages is None or not self.translations:
            return self
        by_language = {each.language: each for each in self.translations}
        return by_language[self.languages.of(variables, by_language)]

    def references(self) -> Iterator[tuple[str, ...]]:
        """Yield the dotted names that the template reads, such as ``("contact", "email")``.

        Those of the templates it extends or includes are among them.
        """
        for _, tree in _trees(self):
            for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name)):
                name = dotted_name(node)
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
            for name, node, parent in names_in(tree):
                if name.name in contacts and not is_a_field(node):
                    return None
                of_all = digest and name.name in ("digest", "loop")
                if of_all and not keeps_contacts(name.name, node, parent):
                    return None
        return frozenset(read[0] for read in self.references_to("contact", digest=digest))

    def _names_of_contacts(self) -> set[str]:
        return {
            loop.target.name
            for _, tree in _trees(self)
            for loop in tree.find_all(nodes.For)
            if isinstance(loop.target, nodes.Name) and are_contacts(loop.iter)
        }


def union(read: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """Return the fields that any of several readers reads; None where one may read any."""
    names: frozenset[str] = frozenset()
    for each in read:
        if each is None:
            return None
        names |= each
    return names


def render(
    template: Template, variables: Mapping[str, Any], *, replaced: VendorMarkup | None = None
) -> str:
    """Render ``template``; raise ContactFailure for a missing field or a value that cannot be.

    Raises TemplateAway where a template that it includes is not there, which is nobody's failure.

    ``variables`` maps VARIABLES to text or ``Fields``. ``replaced`` is what a vendor replaces in
    texts, of which no value may be a part.
    """
    template = template.translated(variables)
    with speaking(template.language):
        pieces = _guarded(template, lambda: _pieces(template, variables))
    if replaced is not None:
        require_own(replaced, pieces)
    text = "".join(piece.text for piece in pieces)
    if template.kind in (Kind.LINE, Kind.PATH, Kind.URL) and not _is_one_line(text):
        raise ContactFailure("a line break or control character in a field that is one line")
    return text


def _pieces(template: Template, variables: Mapping[str, Any]) -> Sequence[Piece]:
    text = concat(_compile(template).generate(variables))
    if not is_unicode(text):
        raise ContactFailure("a character that UTF-8 cannot carry (half of a surrogate pair)")
    return written(template.kind, text.pieces)


def parts_of(template: Template, variables: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return what the innermost loop of a template calls its parts, and the parts.

    Raises as ``render`` does.
    """
    name, _, expression = template.loops[-1].partition(" in ")

    def go_through() -> list[Any]:
        parts = _compile_expression(expression)(variables)
        if isinstance(parts, str | Mapping):
            raise ContactFailure("goes through a text or a record, and not through a list")
        return list(parts)

    return name, _guarded(template, go_through)


def _guarded(template: Template, make: Callable[[], Result]) -> Result:
    """Return what is made within bounds; every mishap is a ContactFailure, without contact text."""
    try:
        with bounded():
            return make()
    except ContactFailure:
        raise
    except TooMuch as error:
        raise ContactFailure(f"the template does too much for one message: {error}") from None
    except MissingField as error:
        raise ContactFailure(f"missing field: {error.message}") from None
    except UndefinedError as error:
        raise ContactFailure(f"missing field: {_safe_message(error, template)}") from None
    except (TemplateNotFound, TemplateSyntaxError) as error:
        raise TemplateAway(f"the template {error.name} cannot be read, and is needed") from None
    except SecurityError:
        raise ContactFailure("the template does what the sandbox does not allow") from None
    except Exception as error:  # noqa: BLE001 - of any kind: it is this contact's values alone
        # the message of such an error may quote contact text
        hint = _NO_NUMBER if isinstance(error, TypeError) else ""
        raise ContactFailure(f"the template failed: {type(error).__name__}{hint}") from None


_NO_NUMBER = (
    "; to count with a field that is text, as every field of a CSV file is, read it with the "
    "filter `number`: contact.balance | number; to compare a date with text, write it as text: "
    "contact.seen.isoformat()"
)


def _safe_message(error: UndefinedError, template: Template) -> str:
    """Return an error's message where it holds no more than the template does."""
    message = error.message or ""
    static = {".".join(reference) for reference in template.references()}
    if message in static or message == PRINTED_EMPTY:
        return message
    return "one whose name the template computes, or an item that is not there"


def read_template(
    kind: Kind, value: object, info: ValidationInfo, loops: tuple[str, ...] = ()
) -> Template:
    """Read a template from YAML: text, or ``{file: NAME}`` in the definitions' templates folder."""
    if isinstance(value, Template):
        return value
    context = info.context or {}
    folder, languages = context.get("templates"), context.get("languages")
    texts = texts_by_language(value, folder)
    if texts:
        return _in_languages(
            {tag: read_template(kind, text, info) for tag, text in texts}, languages
        )
    language = languages.default if languages else UNSAID
    if isinstance(value, str):
        place = str(folder) if folder else None
        template = Template(value, kind, place, loops=loops, language=language)
    elif isinstance(value, dict) and list(value) == ["file"] and isinstance(value["file"], str):
        source, file = _read(folder, value["file"]), value["file"]
        template = Template(source, kind, str(folder), file, language=language)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"found the number {value!r}; allowed: text (put it in quotes)")
    else:
        raise ValueError(f"found {value!r}; allowed: text, or {{file: NAME}} in templates/")
    _check(template)
    return template


def _in_languages(texts: Mapping[str, Template], languages: Languages | None) -> Template:
    if languages is None:
        raise ValueError(
            "texts by language need `languages: {field: …, default: …}` beside the channel"
        )
    outer = next((tag for tag, text in texts.items() if text.translations), None)
    if outer is not None:
        raise ValueError(f"found texts by language within the text in {outer}; allowed: one text")
    if languages.default not in texts:
        raise ValueError(
            f"there is no text in {languages.default}, the default; found {', '.join(texts)}"
        )
    each = tuple(replace(text, language=tag) for tag, text in texts.items())
    default = next(text for text in each if text.language == languages.default)
    return replace(default, languages=languages, translations=each)


def read_loop(expression: str, info: ValidationInfo, loops: tuple[str, ...]) -> Template:
    """Read an expression of Jinja that gives a list: an empty template, a round of it in ``loops``.

    A part of ``digest.contacts`` is called ``contact``, any other ``item``.
    """
    folder = (info.context or {}).get("templates")
    try:
        body = environment_of(Kind.TEXT, None).parse(_in_loops("", (f"item in {expression}",))).body
    except TemplateSyntaxError as error:
        raise ValueError(f"{expression!r} is not an expression: {error.message}") from None
    if len(body) != 1 or not isinstance(body[0], nodes.For) or body[0].body or body[0].test:
        raise ValueError(f"found {expression!r}; allowed: an expression such as digest.contacts")
    name = "contact" if are_contacts(body[0].iter) else "item"
    loops = (*loops, f"{name} in {expression}")
    template = Template("", Kind.TEXT, str(folder) if folder else None, loops=loops)
    _check(template)
    return template


def _in_loops(source: str, loops: Iterable[str]) -> str:
    for loop in reversed(tuple(loops)):
        source = f"{{% for {loop} %}}{source}{{% endfor %}}"
    return source


def _to_data(template: Template) -> object:
    if template.translations:
        return {each.language: _to_data(each) for each in template.translations}
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
                    {
                        "type": "object",
                        "description": "a text, or {file: NAME}, for each language",
                        "propertyNames": {"pattern": LANGUAGE},
                        "minProperties": 1,
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
Markdown = _field(Kind.MARKDOWN)


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
            _check_places(template.kind, tree, name)
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
    environment = environment_of(Kind.TEXT, None)
    for kind, words in ((nodes.Filter, environment.filters), (nodes.Test, environment.tests)):
        for node in tree.find_all(kind):  # inside an `if` Jinja would find out at run time only
            if node.name not in words:
                raise ValueError(f"No {kind.__name__.lower()} named {node.name!r}{where}")
    for name in sorted(meta.find_undeclared_variables(tree) - set(VARIABLES)):
        hint = did_you_mean(name, VARIABLES) or f"; did you mean contact.{name}?"
        raise ValueError(f"unknown name {name!r}{where}; allowed: {', '.join(VARIABLES)}{hint}")


def _check_places(kind: Kind, tree: nodes.Template, name: str | None) -> None:
    """Raise ValueError for expressions where nothing that they print could stand."""
    problems = [f"line {line}: {problem}" for line, problem in place_problems(kind, tree)]
    if problems:
        raise ValueError(f"{name or 'template'} {'; '.join(problems)}")


@lru_cache(maxsize=512)
def _compile(template: Template) -> Any:
    return environment_of(template.kind, template.folder).from_string(template.source)


@lru_cache(maxsize=512)
def _compile_expression(expression: str) -> Any:
    environment = environment_of(Kind.TEXT, None)
    return environment.compile_expression(expression, undefined_to_none=False)


@lru_cache(maxsize=512)
def _parse(template: Template) -> nodes.Template:
    source = _in_loops(template.source, template.loops)
    return environment_of(template.kind, template.folder).parse(source)


def _trees(template: Template) -> Iterator[tuple[str | None, nodes.Template]]:
    """Yield the parsed template, then those that it extends, includes or imports, by name."""
    environment = environment_of(template.kind, template.folder)
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


def _is_one_line(text: str) -> bool:
    return not any(ord(char) < 32 or char in "\x7f\x85\u2028\u2029" for char in text)
