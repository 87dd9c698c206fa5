"""Survey invitations: the key is embedded data of a mail's distribution, or an SMS' name."""

from __future__ import annotations

from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.qualtrics_api import DIRECTORY, MAILING_LIST, TOKEN
from tests.channels.case import ChannelCase, Sent, Servers, Written, quoted_alike

SURVEY = "SV_5e90e5e90e5e90e"
LINK = "${l://SurveyURL}"
ONE_LINE = "a line break or control character in a field that is one line"
REFUSALS = {
    "unauthorized": "Qualtrics answered 401: DCD_7",
    "rate_limited": "Qualtrics answered 429: RATELIMIT_1",
    "server_error": "Qualtrics answered 503: ISE_1",
}
COMMON = {"connection": "qualtrics_default", "directory": DIRECTORY, "mailing_list": MAILING_LIST}


def connection(servers: Servers) -> dict[str, Any]:
    return {"conn_type": "http", "host": f"{servers.url}/qualtrics", "password": TOKEN}


def received(message: Message) -> dict[str, Any]:
    distribution = message.fields["distribution"]
    by_mail = message.kind == "survey_invitation"
    parts = ("headers", "embeddedData") if by_mail else ("name", "requestType")
    link = distribution["surveyLink"] if by_mail else distribution
    return {
        "kind": message.kind,
        "to": message.to,
        "text": message.text,
        "html": quoted_alike(message.html),
        "list": distribution["recipients"]["mailingListId"],
        "contact": distribution["recipients"]["contactId"],
        "survey": link["surveyId"],
        **{name: distribution[name] for name in parts},
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    number = message.fields["distribution"]["id"]
    return {"external_id": number, "url": None, "results": {"id": number}}


def escaped(text: str) -> str:
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(mark, entity)
    return text.replace("'", "&#x27;")


def to(sent: Sent) -> dict[str, Any]:
    return {"list": MAILING_LIST, "contact": f"CGC_{sent.contact_id}", "survey": SURVEY}


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "survey_invitation",
        "to": "contact@example.com",
        "text": "",
        "html": f"<p>You said: {escaped(sent.note)}</p>\n<p>{LINK}</p>",
        **to(sent),
        "headers": {
            "fromEmail": f"{sent.place}@example.com",
            "fromName": "Care",
            "replyToEmail": "care@example.com",
            "subject": f"How was it, {sent.first_name}?",
        },
        "embeddedData": {"tier": "gold", "segue_delivery": sent.key},
    }


def expected_text(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "survey_text",
        "to": "+15005550006",
        "text": f"You said: {sent.note} {LINK}",
        "html": "",
        **to(sent),
        "name": f"segue_delivery {sent.key}",
        "requestType": "Invite",
    }


def expected_from_library(sent: Sent) -> dict[str, Any]:
    return {
        **expected_text(sent),
        "text": "",
    }


CASE = ChannelCase(
    channel="survey_invitation",
    service="qualtrics",
    connection_id="qualtrics_default",
    connection=connection,
    action=Written(
        {
            **COMMON,
            "by": "email",
            "contact": "{{ contact.contact_id }}",
            "survey": SURVEY,
            "html": f"<p>You said: {{{{ contact.note }}}}</p>\n<p>{LINK}</p>",
            "from": "{{ contact.place }}@example.com",
            "from_name": "Care",
            "reply_to": "care@example.com",
            "subject": "How was it, {{ contact.first_name }}?",
            "embedded_data": {"tier": "{{ contact.tier }}"},
            "expires": "14d",
        },
        expected,
        outcomes={"line_breaks_in_a_line": f"failed(subject: {ONE_LINE})"},
    ),
    variants={
        "text": Written(
            {
                **COMMON,
                "by": "sms",
                "survey": SURVEY,
                "text": f"You said: {{{{ contact.note }}}} {LINK}",
            },
            expected_text,
        ),
        "library": Written(
            {
                **COMMON,
                "by": "sms",
                "survey": SURVEY,
                "message": {"library": "UR_5e90e5e90e5e90e", "id": "MS_5e90e5e90e5e90e"},
            },
            expected_from_library,
        ),
    },
    received=received,
    receipt=receipt,
    refused="failed(Qualtrics answered 400: INVALID_fromEmail)",
    refusals=REFUSALS,
    contacts={"refused": {"place": "two words"}},
    mark=r'segue_delivery(?:": ?"| )([0-9a-f]{64})',
    short={
        **COMMON,
        "survey": SURVEY,
        "from": "care@example.com",
        "subject": "Hello {{ contact.contact_id }}",
        "html": LINK,
    },
    look_up={"path": "/distributions", "method": "GET"},
)
