"""Airflow connections: where they lead, and Airflow's complaints turned into ConnectionFailure."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

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


def base_url_of(connection: str) -> str:
    """Return the address that a connection's host, schema and port say, without a slash at its end.

    A host without a scheme is reached over TLS, unless the schema says otherwise or it is this
    machine: HttpHook would send a password in the clear. Raises ConnectionFailure.
    """
    fields = find_connection(connection)
    host = (fields.host or "").strip()
    try:
        parts = _parts(host, fields.schema)
        one_port = parts.port is None or fields.port in (None, 0, parts.port)
        usable = bool(parts.hostname) and one_port
    except ValueError:
        usable = False
    if not usable:
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} needs a host such as https://api.example.com, "
            "with one port at most"
        )
    if "@" in parts.netloc:  # it would stand in links to tickets
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: its host has a user or a password in it; "
            "write them into login and password"
        )
    if fields.port and parts.port is None:
        parts = parts._replace(netloc=f"{parts.netloc}:{fields.port}")
    return parts.geturl().rstrip("/")


def _parts(host: str, schema: str | None) -> SplitResult:
    if "://" in host:
        return urlsplit(host)
    parts = urlsplit(f"https://{host}")
    scheme = schema or ("http" if _is_this_machine(parts.hostname or "") else "https")
    return parts._replace(scheme=scheme)


def _is_this_machine(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
