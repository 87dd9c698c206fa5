"""Write files so that whoever reads at the same time finds the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import posixpath
import uuid
from collections.abc import Iterator
from typing import IO, Any

from fsspec import AbstractFileSystem


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
