"""Storage over Airflow's connections: ``s3://lake@bucket/shop`` over the connection ``lake``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseHook, ObjectStoragePath

from segue.airflow_compat import AirflowNotFoundException
from segue.errors import SettingsError

if TYPE_CHECKING:
    from upath import UPath


def path_over(conn_id: str, place: str, package: str) -> UPath:
    """Return the path of a storage's URL that names a connection.

    Raises SettingsError where there is no such connection, or ``package``, which has those to such
    a storage, is not installed. It connects when something is read.
    """
    where = f"{place.partition('://')[0]}:// over the connection {conn_id!r}"
    try:
        BaseHook.get_connection(conn_id)  # else credentials of the environment are taken instead
    except AirflowNotFoundException:
        raise SettingsError(
            f"{where}: Airflow has no connection {conn_id!r}: on a terminal, set "
            f"AIRFLOW_CONN_{conn_id.upper()} (or a secrets backend); what Airflow itself stores, "
            "only a DAG can use"
        ) from None
    path: Any = ObjectStoragePath(place)
    try:
        path.fs  # noqa: B018 - made now, so that what is missing is told here
    except (ImportError, ValueError) as error:
        raise SettingsError(f"{where}: {error}; pip install {package}") from None
    return cast("UPath", path)
