"""A pod as YAML has it, and as Airflow's KubernetesExecutor wants it: ``V1Pod``.

The package ``kubernetes`` comes with Airflow's provider ``cncf.kubernetes``. Its own reading of a
manifest passes over what it does not know, so that a slip of the pen would be lost in silence: here
it is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from segue.documents import Location, did_you_mean

_WITHOUT = (
    "a pod is described with the package kubernetes, which is not installed here: "
    "pip install apache-airflow-providers-cncf-kubernetes"
)
_LIST, _MAPPING = re.compile(r"list\[(.+)\]"), re.compile(r"dict[(\[]\w+, ?(.+)[)\]]")
_PLAIN: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}


class NoKubernetes(ImportError):
    """Raised where the package ``kubernetes`` is not installed; says which one to install."""


def pod_of(manifest: dict[str, Any]) -> Any:
    """Return a ``kubernetes.client.V1Pod``; raise NoKubernetes, or ValueError with a problem."""
    _client()
    problem = next(pod_problems(manifest), None)
    if problem is not None:
        location, message = problem
        raise ValueError(f"pod_override {'.'.join(map(str, location))}: {message}")
    client = _client()
    return client.ApiClient()._ApiClient__deserialize(manifest, "V1Pod")


def pod_problems(manifest: dict[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield (location in the manifest, message) of all that a pod does not have."""
    try:
        _client()
    except NoKubernetes as error:
        yield (), str(error)
        return
    problems = [*_problems(manifest, "V1Pod", ())]
    yield from problems
    if not problems:
        try:
            _made(manifest)
        except ValueError as error:  # what a part must have, as a container its name
            yield (), str(error)


def _made(manifest: dict[str, Any]) -> Any:
    client = _client()
    return client.ApiClient()._ApiClient__deserialize(manifest, "V1Pod")


def _client() -> Any:
    try:
        return import_module("kubernetes.client")
    except ImportError:
        raise NoKubernetes(_WITHOUT) from None


def _problems(value: Any, kind: str, at: Location) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with a value of a kind, as the client's models name kinds."""
    if value is None or kind == "object":
        return
    if match := _LIST.fullmatch(kind):
        if not isinstance(value, list):
            yield at, f"expected a list, found {value!r}"
            return
        for index, item in enumerate(value):
            yield from _problems(item, match[1], (*at, index))
    elif match := _MAPPING.fullmatch(kind):
        if not isinstance(value, dict):
            yield at, f"expected a mapping, found {value!r}"
            return
        for key, item in value.items():
            yield from _problems(item, match[1], (*at, key))
    elif kind in _PLAIN:
        yield from _plain_problems(value, kind, at)
    else:
        yield from _model_problems(value, kind, at)


def _plain_problems(value: Any, kind: str, at: Location) -> Iterator[tuple[Location, str]]:
    is_other = isinstance(value, bool) != (kind == "bool")
    if is_other or not isinstance(value, _PLAIN[kind]):
        hint = f'; write it in quotes: "{value}"' if kind == "str" else ""
        names = {"str": "a text", "int": "a whole number", "float": "a number"}
        yield at, f"expected {names.get(kind, 'true or false')}, found {value!r}{hint}"


def _model_problems(value: Any, kind: str, at: Location) -> Iterator[tuple[Location, str]]:
    model = getattr(_client(), kind, None)
    if model is None or not hasattr(model, "attribute_map"):  # a date, an IntOrString
        return
    if not isinstance(value, dict):
        yield at, f"expected a mapping, found {value!r}"
        return
    kinds = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
    for key, item in value.items():
        if key in kinds:
            yield from _problems(item, kinds[key], (*at, key))
            continue
        written = model.attribute_map.get(key)  # in Python it has another spelling
        hint = f"; did you mean {written!r}?" if written else did_you_mean(key, kinds)
        yield (*at, key), f"{kind.removeprefix('V1')} has no {key!r}{hint}"
