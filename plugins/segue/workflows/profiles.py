"""What profiles have in common, where they differ, and what of a project nobody uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from segue.errors import DefinitionError, Problem
from segue.workflows.catalog import FOLDERS, Catalog
from segue.workflows.references import names_used


def told_once(problems: Mapping[str | None, Sequence[Problem]]) -> list[Problem]:
    """Return what is wrong under several profiles, each once; None is without a profile.

    What is not wrong under all of them says under which.
    """
    profiles: dict[Problem, list[str | None]] = {}
    for profile, each in problems.items():
        for problem in dict.fromkeys(each):
            profiles.setdefault(problem, []).append(profile)
    return [
        problem if len(under) == len(problems) else _under(problem, under)
        for problem, under in profiles.items()
    ]


def _under(problem: Problem, profiles: Sequence[str | None]) -> Problem:
    names = [name for name in profiles if name is not None]
    words = [f"profile{'s' if len(names) > 1 else ''} {', '.join(names)}"] if names else []
    words += ["without a profile"] if None in profiles else []
    place = (problem.file, problem.line, problem.column, problem.path)
    return Problem(*place, f"{problem.message} ({'; '.join(words)})")


def unused(catalog: Catalog) -> Iterator[Problem]:
    """Yield remarks: variables and actions that nothing uses, profiles that share a namespace."""
    shared = catalog.shared
    variables: set[str] = set()
    actions: set[str] = set()
    for folder in FOLDERS:
        for name in catalog.names(folder):
            try:
                data = catalog.written(folder, name).data
            except DefinitionError:
                return  # it may use any
            variables.update(names_used(data))
            actions.update(_used_actions(data) if folder == "workflows" else ())
    yield from shared.unused(variables)
    for name in catalog.names("actions"):
        if name not in actions:
            yield catalog.written("actions", name).problem(("action",), "no workflow uses it")
    namespaces = [profile.namespace for profile in shared.settings.profiles.values()]
    is_shared = None in namespaces or len({*namespaces}) < len(namespaces)
    if shared.document is not None and len(namespaces) > 1 and is_shared:
        message = (
            "profiles without a namespace each of their own can share a ledger's: what one of "
            "them sends counts as sent for the others"
        )
        yield shared.document.problem(("profiles",), message)


def _used_actions(workflow: object) -> Iterator[str]:
    actions = workflow.get("actions") if isinstance(workflow, dict) else None
    for item in actions if isinstance(actions, list) else ():
        if isinstance(item, dict) and isinstance(item.get("use"), str):
            yield item["use"]
