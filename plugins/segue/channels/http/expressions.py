"""JMESPath: what a definition says about the JSON of an answer.

An expression that is wrong is found when the definition is read; the library is imported then, not
when a channel is named. JMESPath has no variables, so what an answer is compared with is a function
without arguments, as ``key()`` in ``items[?external_id == key()]``: its value is never part of an
expression's text.

Followed:
    https://jmespath.org/specification.html
    https://github.com/jmespath/jmespath.py#custom-functions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from segue.contracts.stray_templates import stray_template
from segue.documents import did_you_mean
from segue.errors import OutcomeUnknown

_LOOKING = frozenset({"contains", "starts_with", "ends_with"})  # in the first, for the second
_LISTS = frozenset({"map", "not_null", "reverse", "sort", "sort_by", "to_array", "values"})
_TRUE = {"type": "literal", "value": True, "children": []}

Node = Mapping[str, Any]  # of a parsed expression: its type, value and children


def _expression(expression: str, values: tuple[str, ...] = ()) -> str:
    """Return a JMESPath expression; raise ValueError that says where it is wrong.

    ``values`` are the functions without arguments that it may call beside those of JMESPath.
    """
    stray = stray_template(expression)
    if stray is not None:
        hint = "".join(f"; here it is {value}()" for value in values)
        raise ValueError(f"{stray}{hint}")
    functions = [*_functions(), *values]
    for node in _nodes(_parsed(expression)):
        if node["type"] != "function_expression":
            continue
        name = node["value"]
        if name not in functions:
            raise ValueError(f"JMESPath has no function {name!r}{did_you_mean(name, functions)}")
        if name in values and node["children"]:
            raise ValueError(f"{name}() takes no arguments")
    return expression


def _parsed(expression: str) -> Node:
    from jmespath.exceptions import JMESPathError

    try:
        tree: Node = _compile(expression).parsed
    except JMESPathError as error:
        column = getattr(error, "lex_position", 0) + 1
        raise ValueError(
            f"{expression!r} is not a JMESPath expression, at its character {column}; texts stand "
            "in 'quotes', numbers in `backticks` (https://jmespath.org)"
        ) from None
    return tree


@lru_cache(maxsize=256)
def _compile(expression: str) -> Any:
    import jmespath

    return jmespath.compile(expression)


def _functions() -> list[str]:
    from jmespath.functions import Functions

    return sorted(Functions.FUNCTION_TABLE)


def _nodes(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in node["children"]:
        if isinstance(child, Mapping):
            yield from _nodes(child)


def _of_json(*values: str) -> Any:
    return Annotated[
        str,
        AfterValidator(partial(_expression, values=values)),
        WithJsonSchema({"type": "string", "description": "JMESPath"}),
    ]


Expression = _of_json()
KeyExpression = _of_json("key")  # the delivery's
ContactExpression = _of_json("contact_id")


def search(vendor: str, expression: str, answer: Any, **values: str) -> Any:
    """Return what an expression finds in an answer; raise OutcomeUnknown where it cannot look.

    ``values`` are what functions without arguments give, by their names.
    """
    return _search(vendor, expression, _compile(expression), answer, values)


def search_unfiltered(vendor: str, expression: str, answer: Any) -> Any:
    """Return what an expression would find were each condition of its filters true."""
    from jmespath.parser import ParsedResult

    everything = ParsedResult(expression, _without_conditions(_compile(expression).parsed))
    return _search(vendor, expression, everything, answer, {})


def _search(
    vendor: str, expression: str, parsed: Any, answer: Any, values: Mapping[str, str]
) -> Any:
    from jmespath.exceptions import JMESPathError

    try:
        return parsed.search(answer, options=_options(values) if values else None)
    except JMESPathError as error:  # its text quotes the answer
        raise OutcomeUnknown(
            f"the answer of {vendor} is not what {expression!r} expects ({type(error).__name__})"
        ) from None


def _options(values: Mapping[str, str]) -> Any:
    import jmespath
    from jmespath.functions import Functions, signature

    def giving(value: str) -> Any:
        return signature()(lambda _: value)

    methods = {f"_func_{name}": giving(value) for name, value in values.items()}
    return jmespath.Options(custom_functions=type("_WithValues", (Functions,), methods)())


def _without_conditions(node: Any) -> Any:
    """Return a parsed expression whose filters let everything through."""
    if not isinstance(node, Mapping):
        return node
    children = [_without_conditions(child) for child in node["children"]]
    if node["type"] == "filter_projection":
        children[2] = _TRUE
    return {**node, "children": children}


def why_no_selection(expression: str, value: str) -> str | None:
    """Return why an expression gives no list, or compares with ``value`` outside of filters."""
    tree = _parsed(expression)
    last = _last(tree)
    is_function = last["type"] == "function_expression"
    if last["type"] in ("comparator", "not_expression", "index") or (
        is_function and last["value"] not in _LISTS
    ):
        return "gives no list of things"
    if any(_filters_each_again(node) for node in _nodes(tree)):
        return "filters each thing of a list again; join conditions with &&, or write | [? … ]"
    calls = sum(_is_call(node, value) for node in _nodes(tree))
    in_filters = sum(_is_call(node, value) for node in _nodes_of_conditions(tree))
    return f"calls {value}() outside of the condition of a filter" if calls > in_filters else None


def _filters_each_again(node: Node) -> bool:
    """Tell whether a filter stands behind a list that is gone through already: x[?a][?b], x[][?a].

    It would look for a list in each thing, and find nothing, whatever is there.
    """
    if node["type"] not in ("projection", "filter_projection", "value_projection"):
        return False
    behind = node["children"][1]
    is_filter: bool = behind["type"] == "filter_projection"
    return is_filter and behind["children"][0]["type"] == "identity"


def _last(node: Node) -> Node:
    """Return the part of an expression that gives its result."""
    while node["type"] in ("pipe", "subexpression", "index_expression"):
        node = node["children"][-1]
    return node


def compares_with(expression: str, value: str) -> bool:
    """Tell whether an expression has a filter that lets through what holds ``value()`` alone."""
    filters = [node for node in _nodes(_parsed(expression)) if node["type"] == "filter_projection"]
    return any(_requires(node["children"][2], value) for node in filters)


def calls(expression: str, value: str) -> bool:
    """Tell whether an expression calls ``value()`` anywhere."""
    return _has_call(_parsed(expression), value)


def _requires(condition: Node, value: str) -> bool:
    """Tell whether a condition is only true of a thing in which ``value()`` is looked for."""
    parts = condition["children"]
    match condition["type"]:
        case "and_expression":
            return any(_requires(part, value) for part in parts)
        case "or_expression":
            return all(_requires(part, value) for part in parts)
        case "comparator" if condition["value"] == "eq":
            return _looks_for(value, *parts) or _looks_for(value, *reversed(parts))
        case "comparator" if condition["value"] != "ne":  # of how many are listed below it
            return any(_holds_filter(part, value) for part in parts)
        case "function_expression" if condition["value"] in _LOOKING:
            return _looks_for(value, parts[1], parts[0])
        case _:
            return _holds_filter(condition, value)


def _looks_for(value: str, wanted: Node, thing: Node) -> bool:
    """Tell whether ``value()`` is wanted, and looked for in what is not fixed by the expression."""
    is_fixed = _has_call(thing, value) or not _reads(thing)
    return _has_call(wanted, value) and not is_fixed


def _holds_filter(condition: Node, value: str) -> bool:
    filters = [node for node in _nodes(condition) if node["type"] == "filter_projection"]
    return any(_requires(node["children"][2], value) for node in filters)


def _has_call(node: Node, value: str) -> bool:
    return any(_is_call(each, value) for each in _nodes(node))


def _reads(node: Node) -> bool:
    """Tell whether a part of an expression depends on the answer."""
    return any(each["type"] in ("field", "current") for each in _nodes(node))


def _is_call(node: Node, name: str) -> bool:
    return (node["type"], node.get("value")) == ("function_expression", name)


def _nodes_of_conditions(tree: Node) -> list[Node]:
    """Return the nodes within the conditions of filters; those of a filter in a filter once."""
    filters = [node for node in _nodes(tree) if node["type"] == "filter_projection"]
    conditions = [node["children"][2] for node in filters]
    return list({id(node): node for each in conditions for node in _nodes(each)}.values())


def is_true(value: Any) -> bool:
    """Tell whether JMESPath calls a value true: 0 is, and what is empty is not."""
    return value is not None and value is not False and value not in ("", [], {})
