"""YAML documents with positions, read as YAML 1.2, and checked against a model.

Definitions are written by hand, so every complaint must name file, line and column, and all
complaints of a file must come at once. Plain scalars are text unless they are unmistakably a
number, a boolean or null: ``no``, ``007`` and ``2026-11-22`` are text.
"""

from __future__ import annotations

import math
import re
import types
import typing
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from segue.errors import DefinitionError, Problem
from segue.hints import did_you_mean as did_you_mean  # noqa: PLC0414 - most who need it read documents
from segue.located import Document as Document  # noqa: PLC0414 - whoever reads one has it from here
from segue.located import Location as Location  # noqa: PLC0414
from segue.located import format_location as format_location  # noqa: PLC0414

Model = TypeVar("Model", bound=BaseModel)

_DEEPEST = 200  # levels: a group of conditions is two, so that some 98 stand in each other
_TOO_DEEP = f"is nested more than {_DEEPEST} levels deep"
_MOST_ALIASED = 20_000  # values of one file that aliases repeat
_MOST_VALUES = 2_000_000  # of one file; aliases of aliases would fill any memory
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,999})")  # what is longer stays text
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


Item = TypeVar("Item")
_SHARE = re.compile(r"(100|[0-9]{1,2}(?:\.[0-9]{1,4})?)%")
_BARE_TEMPLATE = re.compile(r"(^|[:\-,\[])\s+\{\{")  # where YAML sees a mapping begin
_QUOTE_IT = "; a text that begins with {{ is written in quotes"
_OF_CONNECTIONS = frozenset({"oauth2", "placed_secrets", "segue_rate"})


def _unpadded(text: str) -> str:
    if text != text.strip():
        raise ValueError(f"found {text!r}; allowed: a name without blanks around it")
    return text


def _share(value: object) -> float:
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"found {value!r}; allowed: a share such as 5%")
    return float(match[1]) / 100


Unpadded = Annotated[str, AfterValidator(_unpadded)]
Items = Annotated[tuple[Item, ...], Field(strict=False)]  # a YAML list, kept as a tuple
Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="lower-case letters, digits, _")
]


Share = Annotated[
    float,
    BeforeValidator(_share),
    PlainSerializer(lambda share: f"{share * 100:g}%"),
    WithJsonSchema({"type": "string", "pattern": f"^{_SHARE.pattern}$", "examples": ["5%"]}),
]


def full_name(name: str, project: str) -> str:
    """Return the name of a directory or segment among those of all projects, ``growth/gold``."""
    return f"{project}/{name}" if project else name


class Definition(BaseModel):
    """The base of every definition's model: frozen, and an unknown key is an error.

    ``ELSEWHERE`` may say of keys that somebody may write here where they belong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ProblemsFound(ValueError):
    """Raised by a validator that found several problems below its own place in a document.

    ``problems`` holds (location relative to the validated value, message) pairs.
    """

    def __init__(self, problems: Iterable[tuple[Location, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(message for _, message in self.problems))


def read_document(path: Path) -> Document:
    """Read one YAML file; raise DefinitionError for what is not readable or not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise DefinitionError([Problem(str(path), 0, 0, "", f"cannot be read: {reason}")]) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
        raise DefinitionError([Problem(str(path), 0, 0, "", message)]) from None
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Document:
    """Parse YAML ``text``; ``file`` is the name that errors carry.

    Duplicate keys are noted in the document's ``problems``, so that the rest can be checked.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():  # an anchor that is set again is what YAML 1.2 allows
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            node = yaml.compose(text)
    except RecursionError:
        raise DefinitionError([Problem(file, 0, 0, "", _TOO_DEEP)]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = f"is not valid YAML: {error.problem or error.context}"
        if _BARE_TEMPLATE.search("\n".join(text.splitlines()[max(line - 2, 0) : line])):
            message += _QUOTE_IT
        raise DefinitionError([Problem(file, line, column, "", message)]) from None
    except YAMLError as error:
        raise DefinitionError([Problem(file, 0, 0, "", f"is not valid YAML: {error}")]) from None
    if node is None:
        raise DefinitionError([Problem(file, 1, 1, "", "is empty; expected a mapping")])
    _refuse_what_aliases_make(node, file)
    reader = _Reader(file, yaml.resolver)
    data = reader.value(node, ())
    return Document(file, data, reader.positions, tuple(reader.problems))


def validate(model: type[Model], document: Document, *, templates: Path | None = None) -> Model:
    """Return ``document`` as a ``model``; raise DefinitionError with every problem found.

    Validators find the document's folder in ``info.context["folder"]``, for relative paths, and
    the folder of message templates in ``info.context["templates"]``.
    """
    if not isinstance(document.data, dict):
        kind = type(document.data).__name__
        raise DefinitionError([document.problem((), f"expected a mapping, found {kind}")])
    try:
        context = {"folder": Path(document.file).parent, "templates": templates}
        instance = model.model_validate(document.data, context=context)
    except ValidationError as error:
        found_here = problems_of(error, model, document)
        raise DefinitionError([*document.problems, *found_here]) from None
    if document.problems:
        raise DefinitionError(document.problems)
    return instance


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document, at: Location = ()
) -> list[Problem]:
    """Translate a pydantic error about the value at ``at`` into problems with positions."""
    problems = [document.problem(*each) for each in described(error, model, document.data, at)]
    return sorted(set(problems), key=lambda problem: (problem.line, problem.column, problem.path))


def described(
    error: ValidationError, model: type[BaseModel], data: Any, at: Location = ()
) -> Iterator[tuple[Location, str]]:
    """Yield the place in ``data`` and the message of each part of a pydantic error."""
    all_details = error.errors()
    inner = {each["loc"][:size] for each in all_details for size in range(len(each["loc"]))}
    for details in all_details:
        if details["type"] == "too_short" and details["loc"] in inner:
            continue  # its elements are wrong, and reported
        if _is_of_another_branch(details, all_details) or _is_no_word(details, all_details):
            continue
        location = at + _inside(_value_at(data, at), details["loc"])
        cause = details.get("ctx", {}).get("error")
        if isinstance(cause, ProblemsFound):
            yield from ((location + path, text) for path, text in cause.problems)
        else:
            yield location, _describe(dict(details), model)


def _is_of_another_branch(details: Any, others: Sequence[Any]) -> bool:
    """Tell whether a value is not the word that a union allows beside what it was read as."""
    if details["type"] != "literal_error":
        return False
    parent = details["loc"][:-1]
    return any(
        other is not details
        and other["loc"][: len(parent)] == parent
        and len(other["loc"]) > 1
        and other["loc"] != details["loc"]
        and isinstance(details.get("input"), dict | list)
        for other in others
    )


def _is_no_word(details: Any, others: Sequence[Any]) -> bool:
    """Tell whether a mapping was expected where a word is allowed, too, and one was written."""
    return details["type"] in ("model_type", "model_attributes_type", "dict_type") and any(
        other["type"] == "literal_error" and other["loc"][:-1] == details["loc"][:-1]
        for other in others
        if not isinstance(details.get("input"), dict | list)
    )


def _refuse_what_aliases_make(root: Node, file: str) -> None:
    """Raise DefinitionError, before anything is built, if aliases stand for too many values."""
    sizes: dict[int, int] = {}  # of each node, what is below it counted as often as it stands there
    children: dict[int, list[Node]] = {}
    stack = [root]
    while stack:
        node = stack[-1]
        if id(node) in sizes:
            stack.pop()
        elif id(node) not in children:
            children[id(node)] = _nodes_below(node)
            stack += [each for each in children[id(node)] if id(each) not in children]
        else:  # of a part that stands in itself the reader tells
            sizes[id(node)] = 1 + sum(sizes.get(id(each), 0) for each in children[id(node)])
            stack.pop()
    if sizes[id(root)] - len(sizes) > _MOST_ALIASED:
        line, column = _position(root)
        message = f"its aliases stand for more than {_MOST_ALIASED:,} values; write fewer of them"
        raise DefinitionError([Problem(file, line, column, "", message)])


def _nodes_below(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [each for pair in node.value for each in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


class _Reader:
    """Turns a node graph into plain data, noting positions and refusing duplicate keys."""

    def __init__(self, file: str, resolver: Any) -> None:
        self.file = file
        self.positions: dict[Location, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._resolver = resolver
        self._open: list[Node] = []  # the nodes that the present one stands in

    def value(self, node: Node, location: Location) -> Any:
        self._refuse_too_much(node)
        self.positions.setdefault(location, _position(node))
        if self._is_tagged(node):
            tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
            message = f"tags such as {tag} are not read; text is written in quotes"
            self._complain(node, location, message)
        self._open.append(node)
        content = self._read(node, location)
        self._open.pop()
        return content

    def _read(self, node: Node, location: Location) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node, location)
        if isinstance(node, SequenceNode):
            items = enumerate(node.value)
            return [self.value(item, (*location, index)) for index, item in items]
        assert isinstance(node, ScalarNode)
        scalar = _scalar(node)
        return self._text(node, scalar, location) if isinstance(scalar, str) else scalar

    def _text(self, node: Node, text: str, location: Location) -> str:
        """Return text; two halves of a character, as JSON writes some, are the character."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            message = "the text is not valid Unicode (it holds a lone surrogate)"
            self._complain(node, location, message)
            return text.encode(errors="replace").decode()

    def _refuse_too_much(self, node: Node) -> None:
        if any(other is node for other in self._open):
            message = "an alias refers to a part that it stands in"
        elif len(self._open) > _DEEPEST:
            message = _TOO_DEEP
        elif len(self.positions) > _MOST_VALUES:
            message = f"has more than {_MOST_VALUES} values, aliases followed"
        else:
            return
        line, column = _position(node)
        raise DefinitionError([Problem(self.file, line, column, "", message)])

    def _is_tagged(self, node: Node) -> bool:
        """Tell whether a tag makes a node something else than it is without."""
        is_quoted = isinstance(node, ScalarNode) and node.style is not None
        value = node.value if isinstance(node, ScalarNode) else None
        plain = self._resolver.resolve(type(node), value, (not is_quoted, is_quoted))
        return str(node.tag) != str(plain)

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                is_template = isinstance(key_node, MappingNode) and key_node.flow_style
                message = "a key must be a single word or text" + _QUOTE_IT * bool(is_template)
                self._complain(key_node, location, message)
                continue
            key = self._text(key_node, str(key_node.value), location)
            if key == "<<" and key_node.style is None:
                message = "merge keys (<<) are not read; write the keys out"
                self._complain(key_node, location, message)
                continue
            if key in result:
                first = self.positions[(*location, key)][0]
                message = f"duplicate key {key!r}; it is on line {first} already"
                self._complain(key_node, (*location, key), message)
                continue
            self.positions[(*location, key)] = _position(key_node)
            result[key] = self.value(value_node, (*location, key))
        return result

    def _complain(self, node: Node, location: Location, message: str) -> None:
        line, column = _position(node)
        self.problems.append(Problem(self.file, line, column, format_location(location), message))


def _position(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:  # quoted or a block: text
        return text
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _inside(data: Any, location: tuple[int | str, ...]) -> Location:
    """Keep the parts of a pydantic location that exist in the document (no union tags)."""
    path: list[int | str] = []
    last = len(location) - 1
    for index, part in enumerate(location):
        if _holds(data, part):
            data = data[part]
            path.append(part)
        elif index == last and isinstance(data, dict) and _is_key(part):  # it is missing
            path.append(part)
    return tuple(path)


def _is_key(part: int | str) -> bool:
    return isinstance(part, str) and "[" not in part  # else pydantic's own, such as ``[key]``


def _holds(data: Any, part: int | str) -> bool:
    if isinstance(data, dict):
        return isinstance(part, str) and part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _value_at(data: Any, location: Location) -> Any:
    for part in location:
        data = data[part]
    return data


def _describe(details: dict[str, Any], model: type[BaseModel]) -> str:
    kind, location, value = details["type"], details["loc"], details.get("input")
    if kind == "extra_forbidden":
        name = str(location[-1])
        if name in _OF_CONNECTIONS:
            return f"unknown key {name!r}; it belongs into the extra of the Airflow connection"
        inner = _model_at(model, location[:-1])
        if name in getattr(inner, "ELSEWHERE", {}):
            return f"the key {name!r} does not belong here: {inner.ELSEWHERE[name]}"
        choices = [info.alias or key for key, info in inner.model_fields.items()]
        return f"unknown key {name!r}; allowed: {', '.join(choices)}" + did_you_mean(name, choices)
    if kind == "missing":
        return f"the key {str(location[-1])!r} is missing"
    if kind == "value_error":
        return str(details["ctx"]["error"])
    if kind == "literal_error":
        expected = details["ctx"]["expected"]
        is_branch = location[-1:] == (f"literal[{expected}]",)  # of a union with a mapping
        mapping = " or a mapping" if is_branch else ""
        return f"found {value!r}; allowed: {expected}{mapping}" + (
            did_you_mean(value, re.findall(r"'([^']+)'", expected))
            if isinstance(value, str)
            else ""
        )
    if kind in ("list_type", "tuple_type") and isinstance(value, str | int | float):
        return f"expected a list: [{value}], found {value!r}"
    message = details["msg"][:1].lower() + details["msg"][1:]
    message = re.sub(r" or instance of \w+", "", message)
    message = message.replace("input should be a valid dictionary", "expected a mapping")
    message = message.replace("input should be", "expected").removesuffix(".")
    if isinstance(value, dict | list):
        return f"{message}, found a {'mapping' if isinstance(value, dict) else 'list'}"
    return f"{message}, found {value!r}"


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Any:
    """Return the model at ``location`` below ``model``, whose fields are the keys there."""
    for part in location:
        if not isinstance(part, str):
            continue
        for name, info in model.model_fields.items():
            if part in (name, info.alias):
                inner = _model_in(info.annotation)
                if inner is not None:
                    model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside ``Model``, ``Model | None``, ``list[Model]``, ``tuple[Model, …]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = typing.get_origin(annotation)
    if origin is None and not isinstance(annotation, types.UnionType):
        return None
    models = (_model_in(argument) for argument in typing.get_args(annotation))
    return next((inner for inner in models if inner is not None), None)
