"""What comes with an extra of the package: who uses it without is told in a sentence which one.

``pip install 'airflow-segue[s3]'`` brings what ``s3://`` needs, and so on. An extra is one way to
have a package; where it is installed otherwise, as with most of Airflow's images, nothing is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from segue.errors import SettingsError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from upath import UPath

# of a storage's URLs: the extra, and the package with fsspec's file system
_STORAGE = {
    "s3": ("s3", "s3fs"),
    "s3a": ("s3", "s3fs"),
    "gs": ("gcs", "gcsfs"),
    "gcs": ("gcs", "gcsfs"),
    "abfs": ("azure", "adlfs"),
    "abfss": ("azure", "adlfs"),
    "az": ("azure", "adlfs"),
}
# by extra, Airflow's package that has its connections
_PROVIDERS = {
    "s3": "'apache-airflow-providers-amazon[s3fs]'",
    "gcs": "apache-airflow-providers-google",
    "azure": "apache-airflow-providers-microsoft-azure",
}
_OVER_A_CONNECTION = re.compile(r"(?P<kind>[a-z0-9]+)://(?P<conn_id>[^/@:]+)@(?P<bucket>[^/@]+)")


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Turn an import's failure into a SettingsError that names the extra to install."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(missing_extra(name, purpose, error)) from None


def missing_extra(name: str, purpose: str, error: ImportError) -> str:
    """Say what is missing for ``purpose``, in the words of whatever failed to import it."""
    reason = f"the package {error.name}" if error.name else f"a package ({error})"
    return f"{purpose} needs {reason}, which is not installed: pip install 'airflow-segue[{name}]'"


def require_storage(place: str) -> None:
    """Raise SettingsError unless what the URL of a storage needs is installed."""
    kind = place.partition("://")[0]
    if kind in _STORAGE:
        name, package = _STORAGE[kind]
        if find_spec(package) is None:
            missing = ImportError(name=package)
            raise SettingsError(missing_extra(name, f"storage at {kind}://", missing))


def storage_path(place: str) -> UPath:
    """Return the path of a folder or of a storage's URL, as ``require_storage`` allows.

    ``s3://lake@bucket/shop`` is reached over Airflow's connection ``lake``. Raises SettingsError
    where there is none of that name, or it is not one to such a storage.
    """
    from upath import UPath

    require_storage(place)
    conn_id = connection_of(place)
    if conn_id is None:
        return UPath(place)
    from segue.airflow_storage import path_over

    return path_over(conn_id, place, _PROVIDERS[_STORAGE[place.partition("://")[0]][0]])


def storage_of(place: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a folder or of a storage's URL, and the path in it.

    As ``storage_path`` does; a folder's path is absolute.
    """
    from fsspec.core import url_to_fs

    require_storage(place)
    if connection_of(place) is None:
        fs, path = url_to_fs(place)
        return fs, str(path)
    folder = storage_path(place)
    return folder.fs, folder.path


def connection_of(place: str) -> str | None:
    """Return the id of the Airflow connection that a storage's URL names, if it names one.

    ``abfs://container@account.dfs.core.windows.net`` is Azure's own way to name an account.
    """
    match = _OVER_A_CONNECTION.match(place)
    if match is None or match["kind"] not in _STORAGE:
        return None
    is_account = _STORAGE[match["kind"]][0] == "azure" and "." in match["bucket"]
    return None if is_account else match["conn_id"]
