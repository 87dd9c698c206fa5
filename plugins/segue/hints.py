"""The name that somebody probably meant, offered only where it cannot mean the opposite.

Whoever follows a hint, person or program, gets a definition that validates. So a hint is either
what the words of other tools are called here, or our name with a slip of the pen in it; a name
that differs by a negation or a direction is never offered, and no hint is better than a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_SEPARATORS = re.compile(r"[\s_.\-]+")
_NEGATIONS = ("de", "dis", "doesnt", "im", "in", "isnt", "n", "no", "non", "not", "un")
_ABBREVIATED = 4  # letters that an abbreviation needs

# Ours, and what other languages, tools and people call it; spelt as ``_plain`` returns it. A word
# may stand for several of ours: the first that is allowed where it was written is offered.
_OURS: Mapping[str, str] = {
    # combinators
    "all": "and allof every both must && & ",
    "any": "or anyof either some should || |",
    # operators
    "equals": "= == === eq is equal equalto isequalto equalsto sameas exactly matchesexactly",
    "not_equals": (
        "!= !== <> ne neq isnot isnt notequal notequalto isnotequalto doesnotequal differsfrom "
        "notis"
    ),
    "one_of": "in isin isoneof anyof isanyof inlist among oneofthese",
    "none_of": "notin isnotin notoneof isnotoneof isnoneof nin notanyof notinlist noneofthese",
    "is_empty": (
        "isnull null isnone isnil ismissing missing empty blank isblank notset isnotset unset "
        "isunset notexists doesnotexist notpresent isnotpresent isunknown hasnovalue notknown isna"
    ),
    "is_set": (
        "isnotnull notnull exists exist isnotempty notempty notisempty nonempty isnotmissing "
        "notmissing isnotblank notblank present ispresent hasvalue hasanyvalue isknown known set "
        "isnotna notna isfilled"
    ),
    "is_true": "true istruthy isyes yes isnotfalse notfalse notisfalse",
    "is_false": "false isfalsy isno isnottrue nottrue notistrue untrue",
    "contains": "contain containing includes include has like ilike icontains hassubstring",
    "not_contains": (
        "doesnotcontain notcontain notcontaining notincludes notinclude excludes exclude "
        "excluding notlike notilike hasnot lacks"
    ),
    "starts_with": (
        "beginswith beginwith begins startwith startswith prefix hasprefix startingwith "
        "beginningwith starts"
    ),
    "not_starts_with": (
        "doesnotstartwith notbeginswith notbeginwith notstartwith doesnotbeginwith notprefix"
    ),
    "ends_with": "endwith endswith suffix hassuffix endingwith finisheswith ends",
    "not_ends_with": "doesnotendwith notendwith notsuffix notendingwith",
    "matches": "match regex regexp rlike ~ =~ matchesregex pattern",
    "not_matches": "notmatch notregex notregexp notrlike !~ doesnotmatch notmatching",
    "greater_than": (
        "> gt morethan greater greaterthen isgreaterthan ismorethan above over bigger biggerthan "
        "larger largerthan higher higherthan exceeds more"
    ),
    "at_least": (
        ">= => ge gte min minimum greaterorequal greaterthanorequal greaterthanorequalto "
        "greaterequal isatleast minof"
    ),
    "less_than": (
        "< lt less lessthen islessthan below under fewer fewerthan smaller smallerthan lower "
        "lowerthan"
    ),
    "at_most": (
        "<= =< le lte max maximum upto lessorequal lessthanorequal lessthanorequalto lessequal "
        "nomorethan isatmost maxof"
    ),
    "between": "isbetween inrange range betweeninclusive",
    "not_between": "isnotbetween notinrange outside outsideof outofrange",
    "before": "isbefore earlierthan priorto beforedate",
    "after": "isafter laterthan afterdate dependson needs",
    "on_day": "on ondate onthe sameday isday onday dayis",
    "not_on_day": "noton notondate notonday isnoton",
    "in_past": (
        "inlast last inthelast withinlast withinthelast inthepast withinpast withinthepast past "
        "inprevious isinpast duringlast"
    ),
    "not_in_past": (
        "notinlast notinthelast notwithinlast notwithinthelast notinthepast notwithinpast "
        "isnotinpast notlast"
    ),
    "in_next": "inthenext withinnext withinthenext next infuture inthefuture upcoming duein",
    "not_in_next": "notinthenext notwithinnext notwithinthenext notinfuture notinthefuture",
    "anniversary_in_next": (
        "birthday birthdayin birthdayinnext birthdaywithin anniversary anniversaryin "
        "anniversarywithin"
    ),
    "ignore_case": "caseinsensitive insensitive icase nocase casefold ignorecase",
    # leaves and their keys
    "field": "column attribute property fieldname columnname trait",
    "transactions": "events event orders purchases history activity activities",
    "mailing_list": "list lists mailinglists newsletter",
    "subscription": "subscriptions",
    "segment": "segments cohort audience",
    "change": "changes kind",
    "salt": "seed",
    "where": "filter having condition",
    # aggregates
    "count": "number numberof howmany size length counts rows",
    "sum": "total sumof",
    "mean": "avg average averageof",
    "min": "minimum lowest smallest least",
    "max": "maximum highest largest greatest biggest most",
    "earliest": "first oldest mindate firstdate since",
    "latest": "last newest mostrecent recent maxdate lastdate",
    # states and kinds of change
    "member": "in members ismember yes true belongs",
    "not_member": "notin nomember nonmember isnotmember no false out notmembers",
    "opted_in": "subscribed optin optedin resubscribed consented",
    "opted_out": "unsubscribed optout optedout unsubscribe notoptedin notsubscribed",
    "added": "add adds new joined joins entered enters enter entry isadded",
    "removed": "remove removes left leaves leave exited exits exit deleted dropped",
    "enrolled": "enrol enroll enrolment enrollment",
    # keys of definitions
    "match": "rule rules query criteria",
    "conditions": "condition filter filters where",
    "changes": "change trigger triggers kinds on when events",
    "schedule": "cron interval scheduleinterval every",
    "on_snapshot": "snapshot snapshots asset dataset onasset ondata onarrival onsnapshots",
    "start": "startdate from since",
    "if": "when condition conditions",
    "actions": "action steps do then",
    "report": "reports",
    "notify": "alerts notifications",
}
# Words for which there is no name here; the nearest one would mean something else.
_NOT_OURS = """
    nor xor nand none neither not median mode stddev std variance percentile quantile distinct
    countdistinct distinctcount unique nunique onorafter onorbefore notbefore notafter until till by
    older olderthan younger youngerthan newer newerthan ago moreago longerago lessago within during
"""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the name that was probably meant, or an empty string."""
    suggestion = probably_meant(name, allowed)
    return "" if suggestion is None else f"; did you mean {suggestion!r}?"


def probably_meant(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that ``name`` stands for; None where that is not plain."""
    plain = _plain(name)
    names = {other: _plain(other) for other in allowed}
    same = [other for other, spelt in names.items() if spelt == plain]
    suggestions = same or [other for other in _TRANSLATED.get(plain, ()) if other in names]
    if suggestions or plain in ("", *_TRANSLATED):
        return next(iter(suggestions), None)
    return _misspelt(plain, names) or _abbreviated(plain, names)


def _plain(name: str) -> str:
    """Return a name without what people spell differently: case and separators."""
    return _SEPARATORS.sub("", name).casefold()


def _misspelt(plain: str, names: Mapping[str, str]) -> str | None:
    """Return the name that is the fewest slips of the pen away: few, and no other as near."""
    few = max(1 if len(plain) < 4 else 2, len(plain) // 4)
    most = min(3, few) if plain.isalnum() else 0
    near = {other: _slips(plain, spelt, most) for other, spelt in names.items()}
    fewest = min(near.values(), default=most + 1)
    candidates = [other for other, slips in near.items() if slips == fewest]
    if fewest > most or len(candidates) > 1 or _turned_round(plain, names[candidates[0]], fewest):
        return None
    return candidates[0]


def _turned_round(name: str, other: str, slips: int) -> bool:
    """Tell whether the slips between two names are, in part, a word before one that negates it."""
    pairs = ((name, other), (other, name))
    return any(
        longer.startswith(word) and _slips(longer.removeprefix(word), shorter, slips) < slips
        for longer, shorter in pairs
        for word in _NEGATIONS
    )


def _abbreviated(plain: str, names: Mapping[str, str]) -> str | None:
    """Return the only name that begins so."""
    longer = [other for other, spelt in names.items() if spelt.startswith(plain)]
    return longer[0] if len(longer) == 1 and len(plain) >= _ABBREVIATED else None


def _slips(name: str, other: str, most: int) -> int:
    """Return how many letters are wrong, missing, too many or swapped; more than ``most``: any."""
    if abs(len(name) - len(other)) > most:
        return most + 1
    line_before_last: list[int] = []
    last_line = list(range(len(other) + 1))
    for row, letter in enumerate(name, 1):
        line = [row]
        for column, its in enumerate(other, 1):
            cost = min(last_line[column], line[-1]) + 1
            cost = min(cost, last_line[column - 1] + (letter != its))
            if row > 1 and column > 1 and letter == other[column - 2] and its == name[row - 2]:
                cost = min(cost, line_before_last[column - 2] + 1)
            line.append(cost)
        line_before_last, last_line = last_line, line
    return last_line[-1]


def _translations() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {word: [] for word in _NOT_OURS.split()}
    for ours, theirs in _OURS.items():
        for word in theirs.split():
            words.setdefault(word, []).append(ours)
    return words


_TRANSLATED = _translations()
