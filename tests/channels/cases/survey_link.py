"""Links to a survey: the key is in the data of the contact's transaction, which is made once."""

from __future__ import annotations

from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.qualtrics_api import MAILING_LIST
from tests.channels.case import ChannelCase, Sent, Written
from tests.channels.cases.survey_invitation import COMMON, REFUSALS, SURVEY, connection


def received(message: Message) -> dict[str, Any]:
    transaction = message.fields["transaction"]
    same = ("contactId", "mailingListId", "data")
    return {"kind": message.kind, **{name: transaction[name] for name in same}}


def receipt(message: Message, url: str) -> dict[str, Any]:
    number = message.fields["transaction"]["transactionId"]
    link = f"{url}/qualtrics/jfe/form/{SURVEY}?Q_DL={number}_{SURVEY}&Q_CHL=gl"
    return {"external_id": number, "url": link, "results": {"id": number, "url": link}}


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "transaction",
        "contactId": f"{sent.place}-{sent.contact_id}",
        "mailingListId": MAILING_LIST,
        "data": {"segue_delivery": sent.key, "surveyId": SURVEY},
    }


CASE = ChannelCase(
    channel="survey_link",
    service="qualtrics",
    connection_id="qualtrics_default",
    connection=connection,
    action=Written(
        {
            **COMMON,
            "contact": "{{ contact.place }}-{{ contact.contact_id }}",
            "survey": SURVEY,
            "expires": "14d",
        },
        expected,
    ),
    received=received,
    receipt=receipt,
    refused="failed(Qualtrics makes no transaction for the contact: CONTACT_NOT_FOUND)",
    refusals=REFUSALS,
    contacts={"refused": {"place": "missing"}},
    mark=r'"segue_delivery": ?"([0-9a-f]{64})"',
    short={**COMMON, "survey": SURVEY},
    look_up={"path": "/transactions", "method": "GET"},
)
