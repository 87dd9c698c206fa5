"""What calls of Qualtrics' API v3 share: the token, what its errors say, contacts and pages.

Followed:
    https://api.qualtrics.com/2b4ffbd8af74e-api-authentication (the header X-API-TOKEN, or
    ``Authorization: Bearer`` with OAuth)
    https://developers.qodex.ai/qualtrics-public/ (a mirror of Qualtrics' published collection: the
    envelope ``result`` and ``meta``, ``meta.error.errorCode``, lists of ``elements`` whose
    ``nextPage`` is a URL)
    https://api.qualtrics.com/ ("Who am I": GET /whoami)
    https://api.qualtrics.com/a5e9a1a304902-limits (a brand has 3,000 requests a minute, some calls
    have fewer; 429 beyond)

The connection is of type HTTP: host ``https://DATACENTER.qualtrics.com``, password an API token; or
``oauth2`` in its extra, with the client's id and secret as login and password. Its extra may give
``segue_rate``, which then takes the place of every limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import Field

from segue.channels.airflow_connections import find_connection
from segue.channels.http.calls import HttpCalls, open_calls
from segue.channels.http.fields import leads_elsewhere, text_of
from segue.channels.http.sender import HttpSender
from segue.channels.oauth2 import OAUTH2
from segue.channels.rates import SEGUE_RATE, limits_of
from segue.contracts.channel import Channel, Finding, Limit, Tried
from segue.contracts.templates import Line
from segue.contracts.writing import VendorMarkup
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure

CONNECTION = "qualtrics_default"
API = "/API/v3"
BRAND_LIMIT = "3000/minute"  # of all requests; a brand shares it
DELIVERY = "segue_delivery"  # the name under which Qualtrics keeps a delivery's key
PAGE_SIZE, MOST_PAGES = 100, 100  # of a look-up
LONGEST_NAME, LONGEST_VALUE = 200, 1024  # characters of embedded data

_VENDOR = "Qualtrics"
_TOKENS = ("X-API-TOKEN", "Authorization", OAUTH2)  # what an extra may give instead

DirectoryId = Annotated[str, Field(pattern=r"^POOL_[A-Za-z0-9]+$")]
MailingListId = Annotated[str, Field(pattern=r"^CG_[A-Za-z0-9]+$")]
SurveyId = Annotated[str, Field(pattern=r"^SV_[A-Za-z0-9]+$")]


# piped text, which Qualtrics replaces in what it sends: nobody but the team may write one
PIPED_TEXT = VendorMarkup(
    re.compile(r"\$\{[^}]*"), "${ in it, which Qualtrics replaces, or a part of it"
)


class AboutContact(Channel):
    """A channel about one contact of XM Directory: the contact itself, or one a template names."""

    about_one: ClassVar[bool] = True
    replaced: ClassVar[VendorMarkup | None] = PIPED_TEXT
    reads: ClassVar[frozenset[str]] = frozenset({"contact_id"})

    connection: str = CONNECTION
    directory: DirectoryId
    contact: Line | None = None

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields for one contact, with the id that it has in XM Directory."""
        message = super().render(variables)
        contact = str(message.get("contact", variables["contact"]["contact_id"])).strip()
        if not contact:
            raise ContactFailure("contact: an id is needed")
        if "/" in contact or leads_elsewhere(contact):
            raise ContactFailure("contact: an id of XM Directory has no . or /")
        return {**message, "contact": contact}


@dataclass(frozen=True, slots=True)
class Member:
    """What XM Directory says of a contact in one mailing list."""

    lookup_id: str  # of the contact in that list
    email: str
    phone: str
    opted_out: bool  # of the directory or of the list


class QualtricsSender(HttpSender):
    """An open connection to Qualtrics' API."""

    @classmethod
    def open_session(cls, channel: Channel, *others: Any, **endpoints: int) -> Self:
        """Open a session over a channel's connection; ``endpoints`` as in ``qualtrics_limits``."""
        limits = qualtrics_limits(channel.connection, **endpoints)
        calls = open_qualtrics(channel.connection, can_be_asked=channel.can_be_asked)
        return cls(calls, limits, *others)

    def check(self, needs: AbstractSet[str]) -> Finding:
        """Ask whose the token is."""
        who = self._calls.ask("/whoami", read=lambda answer, _: str(answer["result"]["userId"]))
        return Finding(Tried.OK, f"the user {who}")


class SurveySender(QualtricsSender):
    """An open connection for what leads to a survey; ``lasts`` is how long a link is valid."""

    def __init__(self, calls: HttpCalls, limits: Sequence[Limit], lasts: timedelta) -> None:
        super().__init__(calls, limits)
        self._lasts = lasts


def open_qualtrics(connection: str, root: str = API, *, can_be_asked: bool = False) -> HttpCalls:
    """Open a session with what is below ``root``, over an Airflow connection of type HTTP."""
    settings = find_connection(connection)
    token = "" if OAUTH2 in settings.extra_dejson else settings.password  # or a client's secret
    if not token and not any(name in settings.extra_dejson for name in _TOKENS):
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} needs an API token of Qualtrics for its "
            f"password, or {OAUTH2!r} in its extra"
        )
    headers = {"X-API-TOKEN": token} if token else {}
    calls = open_calls(
        _VENDOR, connection, codes=error_codes, can_be_asked=can_be_asked, headers=headers
    )
    calls.base_url = calls.base_url.removesuffix(API) + root
    return calls


def qualtrics_limits(connection: str, **endpoints: int) -> Sequence[Limit]:
    """Return the brand's limit, and those of the calls named, each a number a minute.

    They are one where the connection gives a ``segue_rate``.
    """
    limits = limits_of(connection, BRAND_LIMIT)
    if find_connection(connection).extra_dejson.get(SEGUE_RATE) is not None:
        return limits
    own = [Limit(f"{connection} {name}", count, 60.0) for name, count in endpoints.items()]
    return [*limits, *own]


def error_codes(answer: Any) -> Iterator[object]:
    """Yield the code of a refusal, such as ``ATP_2``; its text may quote what was sent."""
    yield answer["meta"]["error"].get("errorCode")


def contact_path(directory: str, contact: str) -> str:
    """Return the path of a contact."""
    return f"/directories/{directory}/contacts/{quote(contact, safe='')}"


def find_member(calls: HttpCalls, directory: str, mailing_list: str, contact: str) -> Member:
    """Return a contact as it is in a list; raise ContactFailure where it is not in it."""
    record = fetch_contact(calls, directory, contact)
    try:
        membership = (record.get("mailingListMembership") or {}).get(mailing_list)
        if membership is None:
            raise ContactFailure(f"the contact is not in the mailing list {mailing_list}")
        return Member(
            lookup_id=str(membership["contactLookupId"]),
            email=record.get("email") or "",
            phone=record.get("phone") or record.get("phoneNumber") or "",
            opted_out=is_opted_out(record) or membership.get("unsubscribed") is True,
        )
    except (TypeError, LookupError, AttributeError):
        raise ContactFailure("Qualtrics shows the contact in another shape than is known") from None


def fetch_contact(calls: HttpCalls, directory: str, contact: str) -> Mapping[str, Any]:
    """Return a contact as XM Directory shows it; raise UnprovenRefusal where there is none.

    Asking changes nothing, so that an answer which is lost is a TransientFailure.
    """
    path = contact_path(directory, contact)
    try:
        response = calls.call("GET", path)
        record: Mapping[str, Any] = response.json()["result"]
    except OutcomeUnknown as error:
        raise TransientFailure(f"{error}; nothing was changed by asking") from None
    except (ValueError, TypeError, LookupError):
        raise TransientFailure("Qualtrics answered 200 with what is not a contact") from None
    return record


def is_opted_out(contact: Mapping[str, Any]) -> bool:
    """Tell whether a contact, as XM Directory shows it, is opted out of the directory."""
    return True in (contact.get("directoryUnsubscribed"), contact.get("unsubscribed"))


def pages(calls: HttpCalls, path: str, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Yield the elements of a list, page after page; raise OutcomeUnknown where it has no end."""

    def read(answer: Any, _: bool) -> tuple[list[Mapping[str, Any]], str | None]:
        result = answer["result"]
        return [dict(element) for element in result["elements"]], result.get("nextPage")

    parameters = dict(query)
    for _ in range(MOST_PAGES):
        elements, next_page = calls.ask(path, parameters, read=read)
        yield from elements
        if not next_page:
            return
        parameters = dict(parse_qsl(urlsplit(next_page).query, keep_blank_values=True))
    raise OutcomeUnknown(
        f"Qualtrics lists more than {MOST_PAGES * PAGE_SIZE}; they are not all looked through"
    )


def identifier(value: object) -> str:
    """Return an id or a link of an answer; raise ValueError where it is none."""
    if not isinstance(value, str) or not value:
        raise ValueError("an id that is none")
    return value


def data_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Return rendered values as embedded data: texts; raise ContactFailure if one is long."""
    data = {name: text_of(value) for name, value in values.items()}
    for name, value in data.items():
        if len(value) > LONGEST_VALUE:
            raise ContactFailure(f"embedded_data.{name}: over {LONGEST_VALUE} characters")
    return data


def named_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return embedded data whose names Qualtrics takes; raise ValueError."""
    for name in data:
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"found {name[:20]!r}; allowed: up to {LONGEST_NAME} characters")
    return data


def instant(moment: datetime) -> str:
    """Write an instant as Qualtrics does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
