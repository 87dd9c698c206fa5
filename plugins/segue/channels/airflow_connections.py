"""Opening Airflow connections, with Airflow's complaints turned into ConnectionFailure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from segue.errors import ConnectionFailure

Result = TypeVar("Result")


def find_connection(connection: str) -> Any:
    """Return the Airflow connection of an id; raise ConnectionFailure if there is none."""
    from airflow.providers.common.compat.sdk import BaseHook

    return use_connection(connection, lambda: BaseHook.get_connection(connection))


def use_connection(connection: str, connect: Callable[[], Result]) -> Result:
    """Return what ``connect`` does; raise ConnectionFailure where Airflow cannot use it.

    Only the texts that Airflow words itself are passed on: others may quote the connection.
    """
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

    try:
        return connect()
    except AirflowNotFoundException as error:
        raise ConnectionFailure(f"the Airflow connection {connection!r}: {error}") from None
    except (AirflowException, ValueError) as error:
        name = type(error).__name__
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} cannot be used ({name}); check its fields"
        ) from None
