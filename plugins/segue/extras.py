"""What comes with an extra of the package: who uses it without is told in a sentence which one.

``pip install 'airflow-segue[s3]'`` brings what ``s3://`` needs, and so on. An extra is one way to
have a package; where it is installed otherwise, as with most of Airflow's images, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from segue.errors import SettingsError

if TYPE_CHECKING:
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
    """Return the path of a folder or of a storage's URL, as ``require_storage`` allows."""
    from upath import UPath

    require_storage(place)
    return UPath(place)
