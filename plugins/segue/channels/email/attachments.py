"""Files that go with a mail: the same for every contact, from the folder of definitions."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from segue.errors import ConnectionFailure

LARGEST = (
    10_000_000  # bytes in all; as text a mail has a third more, and many servers stop at 25 MB
)
FOLDERS = ("attachments", "templates")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file by the name that the YAML has, and where it was found."""

    name: str
    path: Path

    @property
    def size(self) -> int:
        """Bytes, at this moment."""
        return self.path.stat().st_size


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held when it was read."""

    filename: str
    maintype: str
    subtype: str
    data: bytes


def read_all(attachments: Sequence[Attachment]) -> list[Content]:
    """Read the files; raise ConnectionFailure, which ends the pass, where one is gone or grew."""
    contents = [_content(attachment) for attachment in attachments]
    if sum(len(content.data) for content in contents) > LARGEST:
        raise ConnectionFailure(f"the attachments have more than {LARGEST:,} bytes by now")
    return contents


def _content(attachment: Attachment) -> Content:
    try:
        data = attachment.path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConnectionFailure(f"the attachment {attachment.name!r}: {reason}") from None
    return Content(attachment.path.name, *_content_type(attachment.path.name), data)


def _content_type(filename: str) -> tuple[str, str]:
    """Guess from the name; what is compressed, a mail or unknown is just bytes."""
    guess, encoding = mimetypes.guess_type(filename)
    maintype, _, subtype = (guess or "").partition("/")
    if not subtype or encoding or maintype in ("message", "multipart"):
        return "application", "octet-stream"
    return maintype, subtype


def _read(value: object, info: ValidationInfo) -> Attachment:
    """Find a file by its name below one of FOLDERS, beside the definitions."""
    if isinstance(value, Attachment):
        return value
    templates = (info.context or {}).get("templates")
    if templates is None:
        raise ValueError(f"the attachment {value!r} needs a folder of definitions")
    for folder in FOLDERS if isinstance(value, str) else ():
        root = Path(str(templates)).parent.resolve() / folder
        path = _inside(root, str(value))
        if path is not None and path.is_file():
            return Attachment(str(value), path)
    raise ValueError(f"found {value!r}; allowed: a file in attachments/ or templates/")


def _inside(root: Path, name: str) -> Path | None:
    """Return where a name leads, links followed; None for a place outside of ``root``."""
    if not name.isprintable():
        return None
    path = (root / name).resolve()
    return path if path.is_relative_to(root.resolve()) else None


Attached: Any = Annotated[
    Attachment,
    PlainValidator(_read),
    PlainSerializer(lambda attachment: attachment.name),
    WithJsonSchema(
        {"type": "string", "description": "The name of a file in attachments/ or templates/"}
    ),
]
