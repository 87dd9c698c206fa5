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
    "customers?|buyers?|contacts?|users?|members?|persons?|accounts?|leads?|profiles?|lists?|"
    "e?mails?|mailings?|sms|texts?|phone|calls?|push|whatsapp|fax|mobile|direct|bulk|"
    "marketing|newsletters?|news|offers|promotions?|promotional|communications?|messages?|"
    "gdpr|rgpd|lgpd|dsgvo|ccpa|tcpa|legal|explicit|double|status|state|flag|given|preferences?|"
    "bool(?:ean)?|yn|ind(?:icator)?|level|(?:channel|messagetype)ids?|c|\\d+"
)
_ACT = (  # what one may or may not do to a contact
    "e?mail|e?mails|e?mailed|mailings?|call|calls|called|sms|texts?|texted|contact|contacted|"
    "market(?:ing|ed)?|newsletters?|offers|messages?|messaged|communications?|promotions?|"
    "phone|fax|postalmail|bulke?mail|bulkpostalmail|sendmm|sendmarketingmaterials?|campaigns?"
)
_NOT = "not|non?|never|cannot|cant|without|isnt|un"
_ABLE = "contactable|e?mailable|marketable"
_OPT_STATE = (
    "unsub|unsubs|unsubbed|unsubscribed?|unsubscribes|unsubscription|subscribed?|"
    "opt(?:s|ed)?(?:out|in)s?|opt(?:out|in)ed|opted|"
    f"(?:{_NOT})(?:subscribed|optedin|consent(?:ed)?|{_ABLE})|nonsubscribers?|"
    f"(?:never|cannot|cant)(?:be)?(?:{_ACT})|"
    f"(?:rejects?|rejected|refuses?|refused|declines?|declined|objects?to|objectedto)(?:{_ACT})+|"
    f"dono?t(?:disturb|send|{_ACT})|dnc|dnd|no(?:e?mail|contact|marketing|newsletter|sms)|"
    f"(?:accepts?|accepted|allows?|allowed|agree[sd]?(?:to)?|wants?|(?:can|may)?receives?|gets"
    f"|can(?:be)?|may(?:be)?|ok(?:ay)?(?:to)?|permits?|permissionsto|permissionto)(?:{_ACT})+|cansend|"
    "(?:marketing|e?mail|mailings?|sms|contact|newsletter)"
    "(?:allowed|accepted|permitted|permissions?|agreed|blocked|excluded|declined|refused|ok)|"
    "(?:e?mail|marketing|newsletter|sms)(?:subscription|subscriber)|"
    "consent(?:ed|s)?(?:revoked|withdrawn|refused|denied)?|(?:revoked|withdrawn|withdrew)consent|"
    f"suppress(?:ed|ion)?|(?:black|block)list(?:ed)?|{_ABLE}|"
    f"marketing(?:status|suspended|objection)|(?:blocked|excluded?)from(?:{_ACT})|"
    "marked(?:e?mail)?asspam|reportedspam|spamcomplaint"
)
_COLUMN = re.compile(rf"(?:{_AROUND})*?(?:{_OPT_STATE})(?:{_AROUND})*\d*")
_TIME = "date|datetime|time|timestamp|when"
_MOMENTS = (
    re.compile(rf"(?P<state>.+?)(?:at|on|{_TIME}|since|reason)"),
    re.compile(rf"(?:{_TIME})(?P<state>.+)"),
)
_OF_SOMETHING = re.compile(  # what is an opt state whatever stands before it: sf_subscribed
    rf"(?:is|has|have)?(?:un)?subscribed|(?:is|has|have)?opt(?:ed)?(?:out|in)(?:{_AROUND})*"
)
_WORD_AROUND = re.compile(_AROUND)
_OUT = re.compile(
    r"unsu|out|not|dont|dnc|dnd|suppress|list(?:ed)?$|listed|blocked|revoked|withdr[ae]w"
    r"|refuse|reject|declin|denied|suspended|object|exclude|spam|never|can(?:no)?t|nonsub"
    rf"|no(?=e?mail|contact|market|newsletter|sms|consent|subscri|opted)|un(?={_ABLE}|consent|opted)"
)
_IN_AS_SPELT = ("subscribed", "subscribe")  # misspelt by what stands before it
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
    return [name for name in columns if _looks_like_opt_state(name, others_read)]


def says_opted_in(column: str) -> bool | None:
    """Tell whether a name says who opted in (True) or out (False); None where it says neither.

    Nor where a letter may be wrong in what makes the difference.
    """
    if not _looks_like_opt_state(column, others_read=False):
        return None
    name = _letters(column)
    if _COLUMN.fullmatch(name) or _is_of_something(column):
        return _OUT.search(name) is None
    spelt = _misspelling(column)
    if spelt is None:
        return _OUT.search(name) is None
    for positive in _IN_AS_SPELT:
        prefix = name.removesuffix(positive)
        if prefix != name:
            return None if _distance(prefix, "un", 1) <= 1 else True
    return _OUT.search(spelt) is None


def looks_like_table(name: str) -> bool:
    """Tell whether a file or folder of a snapshot seems to be a table, by its name.

    Any part of ``dbo.Contacts.csv.zst`` may say so.
    """
    parts = [_letters(part) for part in name.split(".")]
    return any(
        _TABLE.fullmatch(part) or any(_distance(part, table, 1) <= 1 for table in _TABLES)
        for part in parts
    )


@lru_cache(maxsize=10_000)
def _looks_like_opt_state(column: str, others_read: bool) -> bool:
    name = _letters(column)
    if _COLUMN.fullmatch(name):
        return True
    moments = (moment.fullmatch(name) for moment in _MOMENTS)
    if any(moment is not None and _COLUMN.fullmatch(moment["state"]) for moment in moments):
        return not others_read
    return _is_of_something(column) or _misspelling(column) is not None


def _is_of_something(column: str) -> bool:
    """Tell whether an opt state stands behind a word of its own, such as a system's name."""
    others = _words(column)[1:]
    return _OF_SOMETHING.fullmatch("".join(others)) is not None


def _misspelling(column: str) -> str | None:
    """Return the word that a name, or the one that matters in it, is a misspelling of, if any."""
    words = _words(column)
    for place, word in enumerate(words):
        others = words[:place] + words[place + 1 :]
        intention = _intended_word(word) if all(map(_WORD_AROUND.fullmatch, others)) else None
        if intention is not None:
            return intention
    return _intended_word(_letters(column))


def _words(column: str) -> list[str]:
    return [_letters(word) for word in re.split(r"[\W_]+", column) if word] or [""]


def _intended_word(name: str) -> str | None:
    """Return the word that ``name`` is a misspelling of, if any."""
    mistakes = {word: 2 if len(word) >= _LONG else 1 for word in _OFTEN_MISSPELT}
    return next(
        (word for word, most in mistakes.items() if _distance(name, word, most) <= most), None
    )


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _distance(one: str, other: str, most: int) -> int:
    """Return how many letters are wrong, missing, extra or swapped; beyond ``most``, more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    row_before_last: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one):
        last_row, row = row, [i + 1]
        for j, other_letter in enumerate(other):
            cost = min(last_row[j + 1] + 1, row[j] + 1, last_row[j] + (letter != other_letter))
            if i and j and letter == other[j - 1] and one[i - 1] == other_letter:
                cost = min(cost, row_before_last[j - 1] + 1)
            row.append(cost)
        row_before_last = last_row
    return row[-1]
