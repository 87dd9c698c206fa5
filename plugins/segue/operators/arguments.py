"""What ``airflow:`` of a definition comes to as arguments of Airflow's operators and DAGs."""

from __future__ import annotations

from typing import Any

from segue.errors import DefinitionError, Problem
from segue.workflows.airflow_settings import POD_OVERRIDE, TaskSettings
from segue.workflows.callbacks import NamedCallback


def task_arguments(settings: TaskSettings, where: str) -> dict[str, Any]:
    """Return the arguments that settings say something of; ``where`` is in what is wrong.

    Raises DefinitionError for a pod that cannot be made here. What is wrong in it is told with its
    line by ``segue validate`` and by the import error of the definitions.
    """
    arguments = settings.arguments()
    config = arguments.get("executor_config", {})
    if POD_OVERRIDE in config:
        from segue.workflows.pods import pod_of  # brings the client of Kubernetes

        try:
            pod = pod_of(config[POD_OVERRIDE])
        except (ImportError, ValueError) as error:
            raise DefinitionError([Problem(where, 0, 0, "airflow", str(error))]) from None
        arguments["executor_config"] = {**config, POD_OVERRIDE: pod}
    return arguments


def callbacks_of(settings: TaskSettings) -> dict[str, list[NamedCallback]]:
    """Return the functions to call, by the argument of Airflow's that they stand for."""
    callbacks: dict[str, list[NamedCallback]] = {}
    for key, _, name in settings.callbacks():
        callbacks.setdefault(key, []).append(NamedCallback(name))
    return callbacks
