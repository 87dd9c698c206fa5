"""Names that look like an opt state, or like a table: what a person surely meant to be read.

An opt-out that is not read is a message to somebody who said no, so such a name is an error until
the directory says what it is (`consent`). Names are compared without case, blanks and punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_AROUND = (  # words that may stand before or after the one that matters
    "is|has|have|was|all|any|global(?:ly)?|hs|from|of|to|for|the|confirmed|current|"
    "customers?|contacts?|users?|members?|persons?|accounts?|leads?|profiles?|lists?|"
    "e?mails?|mailings?|sms|texts?|phone|calls?|push|whatsapp|fax|mobile|direct|bulk|"
    "marketing|newsletters?|news|offers|promotions?|promotional|communications?|messages?|"
    "gdpr|rgpd|lgpd|dsgvo|ccpa|tcpa|legal|explicit|double|status|state|flag|given|preferences?|"
    "bool(?:ean)?|yn|ind(?:icator)?|level|(?:channel|messagetype)ids?|c"
)
_ACT = (  # what one may or may not do to a contact
    "e?mail|e?mails|e?mailed|mailings?|call|calls|called|sms|texts?|texted|contact|contacted|"
    "market(?:ing|ed)?|newsletters?|offers|messages?|messaged|communications?|promotions?|"
    "phone|fax|postalmail|bulke?mail|bulkpostalmail|sendmm|sendmarketingmaterials?|campaigns?"
)
_OPT_STATE = (
    "unsub|unsubs|unsubbed|unsubscribed?|unsubscribes|unsubscription|subscribed?|"
    "opt(?:s|ed)?(?:out|in)s?|opt(?:out|in)ed|opted|"
    f"dono?t(?:disturb|send|{_ACT})|dnc|no(?:e?mail|contact|marketing|newsletter|sms)|"
    f"(?:accepts?|accepted|allows?|allowed|agree[sd]?(?:to)?|wants?|(?:can|may)?receives?|gets"
    f"|can(?:be)?|may(?:be)?|okto|permits?|permissionsto|permissionto)(?:{_ACT})+|cansend|"
    "(?:marketing|e?mail|mailings?|sms|contact|newsletter)"
    "(?:allowed|accepted|permitted|permissions?|agreed|blocked)|"
    "(?:e?mail|marketing|newsletter|sms)(?:subscription|subscriber)|"
    "consent(?:ed|s)?(?:revoked|withdrawn|refused|denied)?|(?:revoked|withdrawn)consent|"
    "suppress(?:ed|ion)?|blacklisted|blocklisted|contactable|mailable|emailable|marketable|"
    f"marketing(?:status|suspended|objection)|(?:blocked|excluded?)from(?:{_ACT})|"
    "marked(?:e?mail)?asspam|reportedspam|spamcomplaint"
)
_COLUMN = re.compile(rf"(?:{_AROUND})*?(?:{_OPT_STATE})(?:{_AROUND})*\d*")
_MOMENT = re.compile(r"(?P<state>.+?)(?:at|on|date|datetime|time|timestamp|when|since|reason)")
_OUT = re.compile(
    r"uns|out|not|dont|dnc|suppress|listed|^no|blocked|revoked|withdrawn|refused|denied"
    r"|suspended|objection|exclude|spam"
)
_OFTEN_MISSPELT = (
    "unsubscribed",
    "unsubscribe",
    "optedout",
    "optedin",
    "acceptsmarketing",
    "donotcontact",
    "donotemail",
)
_LONG = 12  # letters: of these, two may be wrong

_TABLES = ("contacts", "transactions", "mailinglists", "subscriptions")
_TABLE = re.compile(
    r"(contact|transaction|opt(ed)?in).*|.*(contacts|transactions)"
    r"|.*(mailinglist|subscription|unsubscri|opt(ed)?out|suppress"
    r"|donot(contact|e?mail|call|text|sms)|blacklist|blocklist).*"
    r"|.*consents?|dnc(list)?|(un)?subs"
)


def opt_state_columns(columns: Iterable[str], *, others_read: bool) -> list[str]:
    """Return those of ``columns`` whose names say that they hold who opted in or out, in order.

    A moment (``unsubscribed_at``) says it, too, unless ``others_read``: another column is read,
    and this one goes with it.
    """
    return [name for name in columns if _looks_like_opt_state(_squashed(name), others_read)]


def says_opted_in(column: str) -> bool | None:
    """Tell whether a name says who opted in (True) or out (False); None where it says neither."""
    name = _squashed(column)
    if not _looks_like_opt_state(name, others_read=False):
        return None
    spelt = name if _COLUMN.fullmatch(name) else _meant(name) or name
    return _OUT.search(spelt) is None


def looks_like_table(name: str) -> bool:
    """Tell whether a file or folder of a snapshot seems to be a table, by its name.

    Any part of ``dbo.Contacts.csv.zst`` may say so.
    """
    parts = [_squashed(part) for part in name.split(".")]
    return any(
        _TABLE.fullmatch(part) or any(_distance(part, table, 1) <= 1 for table in _TABLES)
        for part in parts
    )


@lru_cache(maxsize=10_000)
def _looks_like_opt_state(name: str, others_read: bool) -> bool:
    if _COLUMN.fullmatch(name):
        return True
    moment = _MOMENT.fullmatch(name)
    if moment is not None and _COLUMN.fullmatch(moment["state"]):
        return not others_read
    return _meant(name) is not None


def _meant(name: str) -> str | None:
    """Return the word that ``name`` is a misspelling of, if any."""
    allowed = {word: 2 if len(word) >= _LONG else 1 for word in _OFTEN_MISSPELT}
    return next(
        (word for word, most in allowed.items() if _distance(name, word, most) <= most), None
    )


def _squashed(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _distance(one: str, other: str, most: int) -> int:
    """Return how many letters are wrong, missing, extra or swapped; beyond ``most``, more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    last: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one):
        before, row = row, [i + 1]
        for j, wanted in enumerate(other):
            cost = min(before[j + 1] + 1, row[j] + 1, before[j] + (letter != wanted))
            if i and j and letter == other[j - 1] and one[i - 1] == wanted:
                cost = min(cost, last[j - 1] + 1)
            row.append(cost)
        last = before
    return row[-1]
