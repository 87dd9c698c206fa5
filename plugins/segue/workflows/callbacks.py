"""Functions that hear of what became of a run or a task, by their dotted names.

A function is imported when there is something to tell, or to check, never when a DAG is parsed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from segue.documents import did_you_mean


class NamedCallback:
    """Stands in for the function that ``name`` names; Airflow logs what goes wrong in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.__name__ = name  # what Airflow's log calls it

    def __repr__(self) -> str:
        """Return the same wherever it is, as Airflow's logs show it."""
        return f"NamedCallback({self.name!r})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import the function and call it as Airflow called this one."""
        return _function(self.name)(*args, **kwargs)


def callback_problem(name: str) -> str | None:
    """Return why there is no function of that name; its module is imported to find out."""
    try:
        _function(name)
    except Exception as error:  # noqa: BLE001 - a module may fail in any way when it is imported
        return f"{name}: {error}"
    return None


def _function(name: str) -> Callable[..., Any]:
    place, _, attribute = name.rpartition(".")
    module = import_module(place)
    function: Callable[..., Any] | None = getattr(module, attribute, None)
    if function is None:
        hint = did_you_mean(attribute, [each for each in vars(module) if each[0] != "_"])
        raise ImportError(f"{place} has no function {attribute!r}{hint}")
    if inspect.isclass(function):
        raise ImportError(
            f"it is a class; allowed: a function of the context. A notifier stands in `notify`: "
            f"{{notifier: {name}}}"
        )
    if not callable(function):
        raise TypeError(f"it is no function, but {type(function).__name__}")
    return function
