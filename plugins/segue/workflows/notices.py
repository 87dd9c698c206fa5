"""Whom a workflow tells of what: notifiers of Airflow, named by their class.

The class is imported when there is something to tell, or to check, never when a DAG is parsed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from segue.workflows.definition import Notice


def notifier_class(notice: Notice) -> Callable[..., Any]:
    """Return the class that a notice names; ImportError, saying why, where there is none."""
    module, _, name = notice.notifier.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:  # an import runs whatever the module holds
        raise ImportError(f"{module} cannot be imported: {error}") from error
    if not inspect.isclass(found) or not callable(getattr(found, "notify", None)):
        raise ImportError(f"{module} has no notifier {name!r}: a class with the method notify")
    return found


def notice_problem(notice: Notice) -> str | None:
    """Return what is wrong with a notice: no such class, or arguments it does not take."""
    try:
        signature = inspect.signature(notifier_class(notice))
        signature.bind(**notice.arguments)
    except (ImportError, TypeError) as error:
        return f"{notice.notifier}: {error}"
    return None
