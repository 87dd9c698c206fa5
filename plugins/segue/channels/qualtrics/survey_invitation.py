"""Invitations to a Qualtrics survey, to one contact of XM Directory, by email or SMS.

Followed (https://developers.qodex.ai/qualtrics-public/ mirrors Qualtrics' published collection):
    distributions-distributions/create-distribution-1 (POST /distributions: message, recipients,
    header, surveyLink, sendDate; to a single contact with mailingListId and contactId)
    distributions-distributions/list-distributions-2, distributions-distributionid/get-distribution
    (GET /distributions by surveyId, mailingListId, sendStartDate; embeddedData in a single one)
    sms-distributions-distributions-sms/ (POST and GET /distributions/sms: name, method, message)
    https://api.qualtrics.com/a5e9a1a304902-limits (1,000 SMS calls a minute)

Inferred: that POST /distributions takes the ``embeddedData`` which GET shows. Where it does not, a
lost answer stays uncertain.

The connection is described in ``calls``. Its user must be able to read the directory's
contacts and to distribute the survey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from segue.channels.addressing import require_one_address
from segue.channels.http.fields import Scalar
from segue.channels.look_ups import look_from
from segue.channels.qualtrics.calls import (
    DELIVERY,
    PAGE_SIZE,
    AboutContact,
    MailingListId,
    SurveyId,
    SurveySender,
    data_of,
    find_member,
    identifier,
    instant,
    named_data,
    pages,
)
from segue.contracts.channel import (
    Audience,
    NoAddress,
    OptedOut,
    PartlyFound,
    Receipt,
)
from segue.contracts.templates import Html, Line, Text
from segue.documents import Definition, Location, ProblemsFound
from segue.durations import Duration, DurationField
from segue.errors import OutcomeUnknown

SMS_LIMIT = 1_000  # calls a minute
MOST_DATA = 9  # of a distribution's ten; one is ours
MEMBER = "member"  # the contact's id in the mailing list, once Qualtrics has said it
OF_A_MAIL = ("sender", "from_name", "reply_to", "subject", "html", "embedded_data")


class LibraryMessage(Definition):
    """A message of a Qualtrics library."""

    library: Annotated[str, Field(pattern=r"^(UR|GR)_[A-Za-z0-9]+$")]
    id: Annotated[str, Field(pattern=r"^MS_[A-Za-z0-9]+$")]


def _embedded_data(data: dict[str, Any]) -> dict[str, Any]:
    if DELIVERY in data:
        raise ValueError(f"{DELIVERY!r} is Segue's own")
    if len(data) > MOST_DATA:
        raise ValueError(f"found {len(data)}; allowed: up to {MOST_DATA}")
    return named_data(data)


class SurveyInvitation(AboutContact):
    """Invite the contact to a survey, with a link of its own, by email or SMS.

    Qualtrics writes to the address that XM Directory has of the contact, which must be in the
    ``mailing_list``; ``contact`` is its id there (``CID_…``), the contact's own id where it is left
    out. One without an address is skipped, as is one whom Qualtrics knows to be opted out of the
    directory or the list.

    The ``message`` is one of a library, or written here: ``html`` of a mail, ``text`` of an SMS,
    with ``${l://SurveyURL}`` where the link goes. What a contact wrote may be no part of a
    ``${…}``, in any field: Qualtrics would replace it. A mail needs ``from`` and ``subject``, which
    may be a library's ``MS_…``. The link is valid for ``expires``, 60 days where it is left out.

    Qualtrics allows 3,000 calls a minute for a brand, 1,000 of them about SMS. Delivered means that
    it took the distribution: what became of the message is in the survey's distributions.

    A delivery is doubtful when the answer was lost. A mail's distribution carries the delivery's
    key as embedded data, an SMS' in its name: the distributions of the survey are looked through,
    ten minutes later at the earliest. *Uncertain* is what is left: a distribution to the contact
    shows no embedded data, or there are more than 10,000.
    """

    name: ClassVar[str] = "survey_invitation"
    reads: ClassVar[frozenset[str]] = frozenset()
    longest_call: ClassVar[float] = 600.0  # until what was created is surely listed
    can_be_asked: ClassVar[bool] = True  # a distribution carries the key

    by: Literal["email", "sms"] = "email"
    survey: SurveyId
    mailing_list: MailingListId
    message: LibraryMessage | None = None
    html: Html | None = None
    text: Text | None = None
    sender: Line | None = Field(default=None, alias="from")
    from_name: Line | None = None
    reply_to: Line | None = None
    subject: Line | None = None
    embedded_data: Annotated[dict[str, Scalar], AfterValidator(_embedded_data)] = {}  # noqa: RUF012
    expires: DurationField = Duration(60, "d")

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise ProblemsFound(problems)
        return self

    @property
    def addressed_to(self) -> Audience:
        """Always the contact."""
        return Audience.CONTACT

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the invitation for one contact."""
        message = super().render(variables)
        for field in ("from", "reply_to"):
            require_one_address(field, message.get(field, ""))
        data = data_of(message["embedded_data"])
        return {**message, "embedded_data": data, "expires": str(self.expires)}

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the survey, the list and the contact in it, by which a distribution is found."""
        return {name: message[name] for name in ("by", "survey", "mailing_list", MEMBER)}

    def connect(self) -> SurveyInvitations:
        """Open a session; nothing is sent yet."""
        endpoints = {"sms": SMS_LIMIT} if self.by == "sms" else {}
        return SurveyInvitations.open_session(self, self.expires.approximate(), **endpoints)

    def _problems(self) -> Iterator[tuple[Location, str]]:
        body_field = "html" if self.by == "email" else "text"
        if (self.message is None) == (getattr(self, body_field) is None):
            which = "neither" if self.message is None else "both"
            yield (), f"found {which} of 'message' and '{body_field}'; exactly one is needed"
        for field in OF_A_MAIL if self.by == "sms" else ("text",):
            if getattr(self, field):
                yield (_key(field),), f"an invitation by {self.by} has none"
        for field in ("sender", "subject") if self.by == "email" else ():
            if getattr(self, field) is None:
                yield (_key(field),), "is needed in an invitation by email"


class SurveyInvitations(SurveySender):
    """An open connection to Qualtrics."""

    def lacks(self, message: Mapping[str, Any]) -> bool:
        """Tell whether the contact's id in the mailing list is not known yet."""
        return MEMBER not in message

    def complete(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Look the contact up in the mailing list; raise OptedOut or NoAddress."""
        member = find_member(
            self._calls, message["directory"], message["mailing_list"], message["contact"]
        )
        if member.opted_out:
            raise OptedOut("Qualtrics knows the contact to be opted out")
        if not (member.email if message["by"] == "email" else member.phone):
            raise NoAddress(f"XM Directory has no address of the contact for {message['by']}")
        return {**message, MEMBER: member.lookup_id}

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Create one distribution, to one contact."""
        number = self._calls.create(
            "/distributions" if message["by"] == "email" else "/distributions/sms",
            distribution_of(message, key, datetime.now(UTC), self._lasts),
            read=lambda answer: identifier(answer["result"]["id"]),
        )
        return receipt_of(number)

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look through the distributions of each survey since; raise PartlyFound if unsure."""
        begin = look_from(since)
        receipts: dict[str, Receipt] = {}
        untold: list[str] = []
        for key, trace in traces.items():
            try:
                number = (
                    self._sms(trace, key) if trace["by"] == "sms" else self._mail(trace, key, begin)
                )
            except OutcomeUnknown as error:
                untold.append(str(error))
                continue
            if number is not None:
                receipts[key] = receipt_of(number)
        if untold:
            raise PartlyFound(untold[0], receipts)
        return receipts

    def _sms(self, trace: Mapping[str, str], key: str) -> str | None:
        query = {"surveyId": trace["survey"], "pageSize": str(PAGE_SIZE)}
        distributions = pages(self._calls, "/distributions/sms", query)
        return next(
            (str(each["id"]) for each in distributions if each.get("name") == sms_name(key)), None
        )

    def _mail(self, trace: Mapping[str, str], key: str, begin: datetime) -> str | None:
        """Return the distribution that carries the key; raise OutcomeUnknown if one shows none."""
        survey, mailing_list = trace["survey"], trace["mailing_list"]
        query = {
            "surveyId": survey,
            "mailingListId": mailing_list,
            "distributionRequestType": "Invite",
            "sendStartDate": instant(begin),
            "pageSize": str(PAGE_SIZE),
            "useNewPaginationScheme": "true",
        }
        distributions = pages(self._calls, "/distributions", query)
        theirs = [str(each["id"]) for each in distributions if _contact_of(each) == trace[MEMBER]]
        keys = {number: self._key_of(number, survey) for number in theirs}
        for number, other in keys.items():
            if other == key:
                return number
        if "" in keys.values():
            raise OutcomeUnknown(
                "Qualtrics shows no embedded data of a distribution to the contact"
            )
        return None

    def _key_of(self, distribution: str, survey: str) -> str:
        """Return the delivery's key that a distribution carries, or nothing."""
        return self._calls.ask(
            f"/distributions/{distribution}",
            {"surveyId": survey},
            read=lambda answer, _: str((answer["result"]["embeddedData"] or {}).get(DELIVERY, "")),
        )


def _key(field: str) -> str:
    """Return the key of a field in YAML."""
    return "from" if field == "sender" else field


def distribution_of(
    message: Mapping[str, Any], key: str, now: datetime, lasts: timedelta
) -> dict[str, Any]:
    """Return a rendered invitation as Qualtrics' distribution."""
    common = {
        "message": _message_of(message),
        "recipients": {"mailingListId": message["mailing_list"], "contactId": message[MEMBER]},
        "sendDate": instant(now),
    }
    survey = message["survey"]
    if message["by"] == "sms":
        return {**common, "name": sms_name(key), "surveyId": survey, "method": "Invite"}
    sender = message["from"]
    name = {"fromName": message["from_name"]} if "from_name" in message else {}
    reply_to = message.get("reply_to", sender)
    header = {"fromEmail": sender, "replyToEmail": reply_to, "subject": message["subject"], **name}
    link = {"surveyId": survey, "expirationDate": instant(now + lasts), "type": "Individual"}
    data = {**message["embedded_data"], DELIVERY: key}
    return {**common, "header": header, "surveyLink": link, "embeddedData": data}


def sms_name(key: str) -> str:
    """Return the name of an SMS distribution, by which it is found again."""
    return f"{DELIVERY} {key}"


def receipt_of(number: str) -> Receipt:
    """Return the receipt of a distribution's id."""
    return Receipt(external_id=number, results={"id": number})


def _message_of(message: Mapping[str, Any]) -> dict[str, str]:
    if "message" in message:
        return {"libraryId": message["message"]["library"], "messageId": message["message"]["id"]}
    return {"messageText": message["html"] if message["by"] == "email" else message["text"]}


def _contact_of(element: Mapping[str, Any]) -> object:
    """Return whom a listed distribution goes to; raise OutcomeUnknown where it does not say."""
    try:
        return element["recipients"]["contactId"]
    except (TypeError, LookupError):
        raise OutcomeUnknown("Qualtrics lists distributions without their recipients") from None
