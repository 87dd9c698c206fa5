"""Cards in Microsoft Teams, through the webhook of a workflow and the HTTP provider's hook.

Followed:
    https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook ("When a Teams webhook
    request is received": type, attachments, contentType, content; 28 KB for a message)
    https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
    (workflows take Adaptive Cards; four requests a second, 429 beyond)
    https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook
    (of 2025-10-01: the template "Send webhook alerts to a channel")
    https://learn.microsoft.com/power-automate/oauth-authentication (who may trigger a workflow)
    https://learn.microsoft.com/azure/connectors/connectors-native-reqres (a workflow without a
    response action answers 202 at once, and runs afterwards)
    https://learn.microsoft.com/azure/logic-apps/logic-apps-http-endpoint (the URL's signature)

The connection is of type HTTP, and its password is the webhook's whole URL: whoever has it can
post. Its extra may give ``timeout`` and ``segue_rate``. The webhooks of Office 365 connectors are
refused: Microsoft retired them, and people report that they take what nobody sees
(https://github.com/opsless/ms-teams-github-actions/pull/123, of June 2026).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from segue.channels.addressing import TeamChannel
from segue.channels.http.answers import CallRefused, CallUnproven
from segue.channels.http.calls import HttpCalls, open_webhook
from segue.channels.http.sender import HttpSender
from segue.channels.rates import limits_of
from segue.channels.teams.adaptive_cards import CardLink, FullCard, card_of, require_urls
from segue.contracts.channel import Limit, Receipt
from segue.contracts.templates import CardText
from segue.documents import Location, ProblemsFound
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown

RATE = "4/second"  # of the webhook
ACCEPTED = 202  # what a workflow says that runs afterwards; one that answers names its run
LARGEST_MESSAGE = 28_000  # bytes; Teams says 28 KB
CONTENT_TYPE = "application/vnd.microsoft.card.adaptive"
OF_THE_WORKFLOW = frozenset({"WorkflowTriggerIsNotEnabled", "WorkflowDisabled"})

_KEY_LENGTH = 64
_RETIRED = re.compile(
    r"(.+\.)?webhook\.office\.com|outlook\.office(365)?\.com"
)  # hosts of connectors
_RUN = re.compile(r"[A-Za-z0-9]{1,100}")


class TeamsMessage(TeamChannel):
    """Post a card to a channel or chat of Teams; the team reads it.

    Which one is up to the workflow behind the webhook. ``title``, ``text`` and ``facts`` are
    Markdown, as cards understand it: what expressions print is escaped, so no contact can link,
    mention or format. ``link`` is a button. ``card`` is an Adaptive Card of your own instead of
    those four, whose texts are templates. A message has up to 28,000 bytes, more is a failure. A
    chat that is shared with customers may be one for the contact: ``audience: contact`` leaves out
    who opted out.

    Teams takes four requests a second, and answers 429 beyond.

    Delivered means that the workflow took the card; what it made of it is in its run history.
    *Uncertain* means that the answer was lost, or was no workflow's. A workflow cannot be asked:
    such a delivery is settled by the workflow's policy or by a person.
    """

    name: ClassVar[str] = "teams_message"
    reads: ClassVar[frozenset[str]] = frozenset()
    longest_call: ClassVar[float] = 120.0

    connection: str = "teams_default"
    title: CardText | None = None
    text: CardText | None = None
    facts: dict[str, CardText] = Field(default_factory=dict)
    link: CardLink | None = None
    card: FullCard = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self._content_problems()]
        if problems:
            raise ProblemsFound(problems)
        return self

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message for one contact; raise ContactFailure where it cannot be one."""
        message = super().render(variables)
        if "card" not in message and not f"{message.get('title', '')}{message.get('text', '')}":
            raise ContactFailure("title, text: the message is empty")
        require_urls({name: message[name] for name in ("link", "card") if name in message})
        if len(body_of(message, "0" * _KEY_LENGTH)) > LARGEST_MESSAGE:
            raise ContactFailure(f"the message has more than {LARGEST_MESSAGE:,} bytes")
        return message

    def connect(self) -> TeamsMessages:
        """Open a session; nothing is sent yet."""
        limits = limits_of(self.connection, default=RATE)
        calls, path = open_webhook("Teams", self.connection, codes=_codes)
        if _RETIRED.fullmatch(urlsplit(calls.base_url).hostname or ""):
            calls.close()
            raise ConnectionFailure(
                f"the Airflow connection {self.connection!r} has the URL of an Office 365 "
                "connector, which Microsoft has retired; give it that of a workflow, which Teams "
                'makes from the template "Send webhook alerts to a channel"'
            )
        return TeamsMessages(calls, path, limits)

    def _content_problems(self) -> Iterator[tuple[Location, str]]:
        fields = {
            "title": self.title,
            "text": self.text,
            "facts": self.facts or None,
            "link": self.link,
        }
        names = [name for name, value in fields.items() if value is not None]
        if self.card is None and self.title is None and self.text is None:
            yield (), "the keys 'title', 'text' and 'card' are missing; one of them is needed"
        if self.card is not None and names:
            yield ("card",), f"found {', '.join(names)} beside it; a card of your own has them all"


class TeamsMessages(HttpSender):
    """An open connection to one webhook."""

    def __init__(self, calls: HttpCalls, path: str, limits: Sequence[Limit]) -> None:
        super().__init__(calls, limits)
        self._path = path  # with the signature: never in an error

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Post one card."""
        try:
            answer = self._calls.call(
                "POST",
                self._path,
                headers={"Content-Type": "application/json"},
                body=body_of(message, key),
            )
        except (CallRefused, CallUnproven) as error:
            if OF_THE_WORKFLOW & set(error.codes):
                raise ConnectionFailure(f"{error.answer}; turn the workflow on in Teams") from None
            raise
        run = answer.headers.get("x-ms-workflow-run-id", "")
        if not _RUN.fullmatch(run):
            if answer.status_code != ACCEPTED and answer.content:
                raise OutcomeUnknown(
                    f"Teams answered {answer.status_code}, which is not the answer of a workflow; "
                    "check the webhook's URL"
                )
            return Receipt()
        return Receipt(external_id=run, results={"run": run})


def body_of(message: Mapping[str, Any], key: str) -> bytes:
    """Return a rendered message as the body of a request."""
    attachment = {"contentType": CONTENT_TYPE, "contentUrl": None, "content": card_of(message, key)}
    body = {"type": "message", "attachments": [attachment]}
    return json.dumps(body, ensure_ascii=False).encode()


def _codes(answer: Any) -> Iterator[object]:
    yield answer["error"]["code"]
