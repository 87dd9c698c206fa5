"""Actions that several workflows use: ``actions/NAME.yaml``, with parameters.

A workflow's ``{id: tell, use: NAME, with: {…}}`` becomes the action itself before the workflow is
read: nothing behind that knows of it, and the keys of deliveries have the workflow's own id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from segue.documents import Definition, Document, Location, Name, ProblemsFound, did_you_mean
from segue.errors import DefinitionError, Problem
from segue.workflows.definition import ACTION_KEYS
from segue.workflows.merging import merged
from segue.workflows.references import Scope, resolved
from segue.workflows.variables import Variable

Find = Callable[[str], Document | str]
_HEADER = ("action", "description", "parameters")
_OF_THE_WORKFLOW = {
    "id": "the workflow that uses the action gives it one",
    "after": "the workflow that uses the action says what comes before it",
    "use": "an action that is used uses no other",
}


class ReusableAction(Definition):
    """An action without an id: a channel with its fields, ``if``, ``digest``, and parameters."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    action: Name
    description: str | None = None
    parameters: dict[Name, Variable] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _leaves_to_the_workflow_what_is_its(self) -> Self:
        extra = self.__pydantic_extra__ or {}
        problems = [
            ((key,), f"does not stand here; {why}")
            for key, why in _OF_THE_WORKFLOW.items()
            if key in extra
        ]
        if problems:
            raise ProblemsFound(problems)
        return self


class _Rules:
    """How an action that is used and what the workflow says of it go together.

    Fields of the channel are each taken whole: a text in one file does not mix with one in another.
    """

    def is_deep(self, place: Location) -> bool:
        return place[0] == "airflow" or (len(place) == 1 and place[0] != "if")

    def keeps_null(self, place: Location) -> bool:
        return False


def by_itself(document: Document, variables: Scope) -> Document:
    """Return an action's document with its parameters' defaults; others are open."""
    if not isinstance(document.data, dict):
        return document
    header = resolved(document, variables)
    return _with_header(_body(document, variables.inside(_defaults(header))), header)


def _with_header(body: Document, header: Document) -> Document:
    data = {key: header.data[key] for key in _HEADER if key in header.data}
    place = header.problem(("parameters",), "")
    problems = [each for each in header.problems if each.path.startswith(place.path)]
    return replace(
        body, data={**data, **body.data}, problems=tuple(dict.fromkeys([*problems, *body.problems]))
    )


def _body(document: Document, scope: Scope) -> Document:
    """Return what an action does, resolved."""
    data = {key: value for key, value in document.data.items() if key not in _HEADER}
    return resolved(replace(document, data=data), scope)


def _parameters(header: Document) -> dict[str, Variable]:
    """Return the parameters that can be read."""
    content = header.data.get("parameters")
    parameters = {}
    for name, each in content.items() if isinstance(content, dict) else ():
        try:
            parameters[name] = Variable.model_validate(each)
        except ValidationError:
            continue  # told with the action's own file
    return parameters


def _defaults(header: Document) -> Scope:
    values = {name: each.default for name, each in _parameters(header).items()}
    content = header.data.get("parameters")
    names = set(content) if isinstance(content, dict) else set()
    values = {name: value for name, value in values.items() if value is not None}
    return Scope(values, _sources(header, values), open=frozenset(names - values.keys()))


def _sources(header: Document, names: Mapping[str, Any]) -> dict[str, str]:
    return {name: _line(header, ("parameters", name, "default")) for name in names}


def with_reusable_actions(workflow: Document, variables: Scope, find: Find) -> Document:
    """Return a workflow's document with the actions that it uses in their places.

    ``find`` gives an action's document by name, or says why there is none; it raises
    DefinitionError. What is wrong with a
    use, or with what is used, is among the document's problems.
    """
    actions = workflow.data.get("actions") if isinstance(workflow.data, dict) else None
    for index, item in enumerate(actions if isinstance(actions, list) else ()):
        if isinstance(item, dict) and ("use" in item or "with" in item):
            workflow = _with_used(workflow, index, variables, find)
    return workflow


def _with_used(workflow: Document, index: int, variables: Scope, find: Find) -> Document:
    place: Location = ("actions", index)
    item = workflow.data["actions"][index]
    if not isinstance(item.get("use"), str):
        message = "expected the name of an action in actions/, as in `use: NAME`"
        return _unsound(workflow, place, [workflow.problem((*place, "use"), message)])
    try:
        action = find(item["use"])
        if isinstance(action, str):
            return _unsound(workflow, place, [workflow.problem((*place, "use"), action)])
        arguments = _given(workflow, index, resolved(action, variables))
    except DefinitionError as error:
        return _unsound(workflow, place, error.problems)
    body = _body(action, variables.inside(arguments))
    own = {key: value for key, value in item.items() if key not in ("use", "with")}
    actions = [own if i == index else each for i, each in enumerate(workflow.data["actions"])]
    workflow = replace(workflow, data={**workflow.data, "actions": actions})
    workflow = merged(workflow, body, _Rules(), place)
    together = tuple(dict.fromkeys([*workflow.problems, *body.problems]))
    return replace(workflow, problems=together)


def _unsound(workflow: Document, place: Location, problems: Iterable[Problem]) -> Document:
    """Return a workflow of which an action is not known."""
    where = workflow.problem(place, "")
    return replace(
        workflow,
        problems=tuple(dict.fromkeys([*workflow.problems, *problems])),
        unsound=workflow.unsound | {(where.file, where.path)},
    )


def _given(workflow: Document, index: int, header: Document) -> Scope:
    """Return the parameters' values for one use; raise DefinitionError."""
    place: Location = ("actions", index, "with")
    arguments = workflow.data["actions"][index].get("with", {})
    if not isinstance(arguments, dict):
        message = "expected a mapping of the action's parameters"
        raise DefinitionError([workflow.problem(place, message)])
    parameters, name = _parameters(header), header.data.get("action")
    problems = list(_argument_problems(workflow, place, arguments, parameters, str(name)))
    if problems:
        raise DefinitionError(problems)
    defaults = _defaults(header)
    values = {**defaults.values, **arguments}
    sources = {each: defaults.sources[each] for each in defaults.values if each not in arguments}
    own = {each: _line(workflow, (*place, each)) for each in arguments}
    return Scope(values, {**sources, **own})


def _line(document: Document, place: Location) -> str:
    problem = document.problem(place, "")
    return f"line {problem.line} of {problem.file.rpartition('/')[2]}"


def _argument_problems(
    workflow: Document,
    place: Location,
    arguments: Mapping[str, Any],
    parameters: Mapping[str, Variable],
    action: str,
) -> Iterator[Problem]:
    for name, value in arguments.items():
        if name not in parameters:
            choices = f"allowed: {', '.join(parameters)}" if parameters else "it has none"
            message = f"the action {action!r} has no parameter {name!r}; {choices}"
            yield workflow.problem((*place, name), message + did_you_mean(name, parameters))
        elif (message := parameters[name].problem(value) or "") != "":
            yield workflow.problem((*place, name), message)
    for name, parameter in parameters.items():
        if name not in arguments and parameter.default is None:
            message = f"the action {action!r} needs a value of its parameter {name!r}"
            yield workflow.problem((*place, name), message)


def may_be_a_template(location: Location, model: type[BaseModel]) -> bool:
    """Tell whether what stands here in a definition may be a template, or any text.

    Channels and live sources judge what is theirs; notifiers are Airflow's, and examples are data.
    """
    if model is ReusableAction:
        return location[0] not in (*ACTION_KEYS, *ReusableAction.model_fields)
    match location:
        case ("notify" | "tests", *_) | ("load", _, *_):
            return True
        case ("actions", _, key, *_):
            return key not in ACTION_KEYS
    return False
