"""Every error Segue raises on purpose, in one tree; the branch says what the reader must do.

    SegueError
    ├── DefinitionError      fix a YAML definition (carries every problem found, with positions)
    ├── SettingsError        fix an environment variable or a command's argument
    ├── DataError            fix a snapshot, or wait until it is there
    │   ├── SnapshotMissing
    │   ├── SnapshotRewritten
    │   └── AudienceEdited   clear the run from detect_changes
    ├── RunHalted            look at the run: no retry of its task helps
    ├── LedgerError          fix or migrate the ledger's database
    │   ├── NotSetUp         Segue was only just installed: set what is missing
    │   └── SchemaDiffers
    └── DeliveryError        one delivery, or a whole connection, did not work
        ├── ContactFailure   permanent, of this contact: record it, go on with the next
        ├── UnprovenRefusal  refused, the contact or the connection: what the others meet tells
        ├── TransientFailure try again later, after ``retry_after`` seconds where it is known
        │   └── Deferral     of this message alone: no other waits for it
        ├── ConnectionFailure  credentials or host: stop the slice, its rows stay released
        └── OutcomeUnknown   the call may have had its effect: nobody can tell from here

Messages say what was found, where, what is allowed. They never carry contact text other than
contact ids, because task logs keep them.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from logging import Logger


class SegueError(Exception):
    """The root of Segue's errors; the command line prints these and exits with 2."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a definition. ``line`` and ``column`` count from 1; 0 is unknown."""

    file: str
    line: int
    column: int
    path: str  # where inside the file: ``match.all[1].count``; empty for the file as a whole
    message: str  # what was found and what is allowed

    def __str__(self) -> str:
        where = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class DefinitionError(SegueError):
    """One or more YAML definitions are wrong; ``problems`` lists all of them in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class TemplateAway(SegueError):
    """A template that another one includes cannot be read now, as while a folder is copied."""


class SettingsError(SegueError):
    """An environment variable or a command's argument cannot be used."""


class DataError(SegueError):
    """A snapshot's files do not hold what they must."""


class SnapshotMissing(DataError):
    """A snapshot that was asked for does not exist, or is not complete."""


class SnapshotRewritten(DataError):
    """A snapshot's files changed after a run recorded them."""


class AudienceEdited(DataError):
    """The definitions that decide who is acted on changed after a run recorded its changes."""


class RunHalted(SegueError):
    """A run does not go on by itself: a person has to do what the message says."""


class LedgerError(SegueError):
    """The ledger cannot be used: unreachable, or of another schema than this version's."""


class NotSetUp(LedgerError):
    """There is no ledger yet, as before the first setting was made: nothing can be due."""


class SchemaDiffers(LedgerError):
    """The ledger is there, in the schema of another version."""


class DeliveryError(SegueError):
    """A delivery did not work."""


class ContactFailure(DeliveryError):
    """A permanent failure of one contact: a refused value, a missing field in a template."""


class TransientFailure(DeliveryError):
    """A failure that time may cure; nothing was sent."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after  # seconds, as the vendor asked
        super().__init__(message)


class Deferral(TransientFailure):
    """A transient failure of one message, as greylisting is: others need not wait.

    It is left to the next pass, because seconds do not cure it.
    """


class UnprovenRefusal(DeliveryError):
    """A refusal of which nobody can tell whose it is: this contact's, or the connection's.

    Surely nothing was sent. The pass tells by what the others meet (docs/design.md). ``answer`` is
    what was said, all that matters where it is the contact's; ``advice`` is what to look at where
    it is the connection's. The text is both.
    """

    def __init__(self, answer: str, *, advice: str) -> None:
        self.answer, self.advice = answer, advice
        super().__init__(f"{answer}; {advice}")


class ConnectionFailure(DeliveryError):
    """The connection itself does not work: bad credentials, an unknown host."""


class OutcomeUnknown(DeliveryError):
    """The request was on its way when the answer was lost; it may have had its effect."""


def log_defect(log: Logger, error: Exception, where: str) -> str:
    """Log where an error that nobody raised on purpose came from, and return its kind.

    Never its text: that may be a contact's, or a secret.
    """
    kind = type(error).__name__
    log.error("%s %s at\n%s", kind, where, "".join(traceback.format_tb(error.__traceback__)))
    return kind
