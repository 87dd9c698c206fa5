"""Write files so that whoever reads at the same time finds the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import posixpath
import re
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import IO, Any

from fsspec import AbstractFileSystem

from segue.directory.layout import list_folder
from segue.extras import storage_path

_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.tmp$")
_LONGEST = timedelta(hours=1)  # that writing one file takes


@contextlib.contextmanager
def whole_file(fs: AbstractFileSystem, path: str) -> Iterator[IO[Any]]:
    """Open a file to write bytes to, beside ``path``; at the end, where nothing went wrong, move.

    The folder is made where it is missing.
    """
    fs.makedirs(posixpath.dirname(path), exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    try:
        with fs.open(temporary, "wb") as file:
            yield file
        fs.mv(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            fs.rm(temporary)
        raise


def remove_unfinished(root: str, now: datetime) -> int:
    """Delete what writers that were killed left below a folder, an hour later; returns how many."""
    folder = storage_path(root)
    count = 0
    for file in list_folder(folder, f"the folder {root}").files:
        is_old = file.modified is not None and file.modified < now - _LONGEST
        if is_old and _UNFINISHED.search(file.name):
            with contextlib.suppress(FileNotFoundError):
                folder.fs.rm(file.path)
                count += 1
    return count
