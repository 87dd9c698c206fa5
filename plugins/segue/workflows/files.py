"""The files of a project's definitions: where each kind stands, and what is surely misplaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from segue.documents import Document, read_document
from segue.errors import DefinitionError

PROJECT_FILE = "segue.yaml"
NAME_KEY = {  # folder: the key that says a definition's name
    "directories": "directory",
    "segments": "segment",
    "actions": "action",
    "workflows": "workflow",
}
_SUFFIXES = (".yaml", ".yml")
_COPIES = tuple(f"{suffix}~" for suffix in _SUFFIXES)  # as editors leave them
_MARKS = (
    ("workflows", {"workflow", "actions"}),
    ("directories", {"directory", "snapshots"}),
    ("directories", {"directory", "lake"}),
    ("segments", {"segment", "directory", "match"}),
    ("actions", {"action"}),
)


def folder_of_kind(document: Document) -> str | None:
    """Return the folder of the kind that a document surely is; None where it may be any."""
    keys = set(document.data) if isinstance(document.data, dict) else set()
    return next((folder for folder, marks in _MARKS if keys >= marks), None)


def definition_files(folder: Path) -> list[Path]:
    """Return the YAML files below ``folder``, sorted; names with a leading ``.`` or ``_`` rest."""
    files = [path for path in paths_below(folder) if path.suffix.lower() in _SUFFIXES]
    return sorted(path for path in files if not path.name.startswith((".", "_")))


def paths_below(folder: Path) -> Iterator[Path]:
    """Yield the files and folders below one, through links; what is hidden is nobody's.

    So of a mounted ConfigMap, whose files are links to those of a folder ``..data``, each is once.
    """
    been: set[str] = set()
    for place, names, files in os.walk(folder, followlinks=True):
        been.add(os.path.realpath(place))
        names[:] = [name for name in names if _is_new(Path(place, name), been)]
        yield from (Path(place, name) for name in (*names, *files))


def _is_new(folder: Path, been: set[str]) -> bool:
    return not folder.name.startswith(".") and os.path.realpath(folder) not in been


def unreadable_folders(folder: Path) -> list[Path]:
    """Return ``folder``, or those below it, whose definitions this user cannot see."""
    every = [folder, *(path for path in paths_below(folder) if path.is_dir())]
    return [path for path in every if path.is_dir() and not os.access(path, os.R_OK | os.X_OK)]


def misplaced_files(home: Path) -> Iterator[tuple[Path, str]]:
    """Yield what was surely meant to be a definition and is not read, and why.

    Folders and suffixes of almost the right name, and definitions beside the folders.
    """
    for path in sorted(home.iterdir()) if home.is_dir() else ():
        hint = _why_misplaced(path)
        if hint is not None:
            yield path, f"is not read; {hint}"
    for folder in NAME_KEY:
        for path in sorted(paths_below(home / folder)):
            if _is_nearly_yaml(path.suffix.lower()) and path.is_file():
                yield path, f"is not read; allowed: a name in {' or '.join(_SUFFIXES)}"


def _why_misplaced(path: Path) -> str | None:
    """Say where a folder or file of the home should rather be; None where it may be there."""
    if path.is_dir() and path.name not in NAME_KEY:
        near = get_close_matches(path.name.casefold(), NAME_KEY, n=1, cutoff=0.75)
        return f"did you mean {near[0]}/?" if near else None
    if path.name != PROJECT_FILE and path.stem.casefold() == "segue":
        return f"did you mean {PROJECT_FILE}?" if path.suffix.lower() in _SUFFIXES else None
    folder = _folder_of(path) if path.suffix.lower() in _SUFFIXES else None
    return None if folder is None else f"definitions of its kind stand in {folder}/"


def set_aside(home: Path) -> Iterator[Path]:
    """Yield files that are no definitions for what comes after ``.yaml``: copies, downloads."""
    for folder in NAME_KEY:
        for path in sorted(paths_below(home / folder)):
            *others, last = [suffix.lower() for suffix in path.suffixes] or [""]
            is_copy = last in _COPIES or (last not in _SUFFIXES and {*others} & {*_SUFFIXES})
            if is_copy and path.is_file():
                yield path


def _is_nearly_yaml(suffix: str) -> bool:
    if suffix in (*_SUFFIXES, *_COPIES):
        return False
    return bool(get_close_matches(suffix, _SUFFIXES, n=1, cutoff=0.75))


def _folder_of(path: Path) -> str | None:
    """Return the folder that a file's keys say it belongs to; None where it defines nothing."""
    try:
        data = read_document(path).data
    except DefinitionError:
        return None
    keys = data if isinstance(data, dict) else {}
    return next((folder for folder, key in reversed(NAME_KEY.items()) if key in keys), None)
