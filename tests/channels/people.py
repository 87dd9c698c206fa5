"""The contacts that every channel writes to: one for each thing that can happen to a message."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.channels.support import HOSTILE as TEXTS

CANARY = "Canary"  # in every text of a contact, so that leaks can be found
COLUMNS = ("contact_id", "kind", "first_name", "note", "email", "place", "tier")

PLAIN = "plain"
REFUSED = "refused"  # by the server, for good
TRANSIENT = "transient"  # an error that passes within a pass
PERSISTENT = "persistent"  # one that outlasts the pass, and has passed at the next
LIMITED = "limited"  # the server asks for a pause
LOST = "lost"  # done, the answer is lost, and so is the answer to the first question after it
UNSENT = "unsent"  # the connection breaks before anything is done, which nobody here can know
OVERDUE = "overdue"  # outlasts the pass; done at the next, the answer lost, and asked for at once
IN_TROUBLE = (REFUSED, TRANSIENT, PERSISTENT, LIMITED, LOST, UNSENT, OVERDUE)

# by kind: what the contact wrote; in "a line of breaks" it stands where templates want one line
HOSTILE = {name.replace(" ", "_"): text for name, text in TEXTS.items()}
IN_A_LINE = "line_breaks_in_a_line"
HOSTILE_KINDS = (*HOSTILE, IN_A_LINE)
KINDS = (PLAIN, *IN_TROUBLE, *HOSTILE_KINDS)


def contact(channel: str, kind: str, changed: Mapping[str, str]) -> dict[str, str]:
    """Return the contact of a kind, as it stands in the directory of a channel.

    ``first_name`` is for fields of one line, ``note`` for texts, ``place`` for what a case makes
    of it; ``changed`` are a case's own values.
    """
    hostile = HOSTILE.get("line_breaks" if kind == IN_A_LINE else kind, "Zoë")
    broken = kind == "line_breaks"
    return {
        "contact_id": contact_id(channel, kind),
        "kind": "hostile" if kind in HOSTILE_KINDS else kind,
        "first_name": f"{CANARY} {'Zoë' if broken else hostile}",
        "note": f"{CANARY} {hostile}",
        "email": f"{kind}@{CANARY.lower()}.example.com",
        "place": f"place-{kind}",
        "tier": "gold",
        **changed,
    }


def contact_id(channel: str, kind: str) -> str:
    """Return a contact's id, which every message carries, and no other contact's contains."""
    return f"{kind}-{channel}"
