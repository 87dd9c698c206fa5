"""Slack's incoming webhooks: the simple way into one channel, by a secret URL.

Followed:
    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (text, blocks, errors)
    https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks (statuses)
    https://docs.slack.dev/apis/web-api/rate-limits (one a second; 429, Retry-After)
    https://airflow.apache.org/docs/apache-airflow-providers-slack/stable/connections/slack-incoming-webhook.html

The connection is of type Slack Incoming Webhook: the password is the webhook's URL, or what
follows ``https://hooks.slack.com/services/`` in it. Whoever knows it can post, so it is in no log
line and no error. The connection's extra may give ``timeout``, ``proxy`` and ``segue_rate``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from segue.channels.airflow_connections import use_connection
from segue.channels.answer_meanings import SLACK_WEBHOOK, Call
from segue.channels.http.answers import is_code
from segue.channels.rates import limits_of
from segue.channels.slack.blocks import SlackText, content_of, sections
from segue.channels.slack.calls import call_sdk, pause_in, silent
from segue.channels.slack.transport import hold_webhook_to_slack
from segue.contracts.channel import Limit, Receipt, Sender
from segue.errors import DeliveryError

if TYPE_CHECKING:
    from slack_sdk.webhook import WebhookClient, WebhookResponse

RATE = "1/second"
POSTED = "ok"


class SlackWebhook(SlackText):
    """Post a message through an incoming webhook, into the channel that it was made for.

    The team reads it, unless ``audience: contact`` says that the channel is shared with the
    contact. A text without ``blocks`` is sent as sections, in which no address becomes a link: not
    every webhook heeds ``parse``. Slack takes one message a second of a webhook. A webhook answers
    with no id and can be asked nothing: when its answer is lost, the delivery is *uncertain*, as it
    is with a mail.
    """

    name: ClassVar[str] = "slack_webhook"
    longest_call: ClassVar[float] = 120.0

    connection: str = "slack_webhook_default"

    def connect(self) -> Webhook:
        """Build the client, once for all threads; nothing is sent yet."""
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        hook = SlackWebhookHook(
            slack_webhook_conn_id=self.connection, retry_handlers=[], logger=silent()
        )
        client = use_connection(self.connection, lambda: hook.client)
        hold_webhook_to_slack(client)
        return Webhook(client, limits_of(self.connection, default=RATE))


class Webhook(Sender):
    """A client of one webhook; the SDK opens a connection for each call."""

    def __init__(self, client: WebhookClient, limits: Sequence[Limit]) -> None:
        self._client = client
        self._limits = limits

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Post one message; a webhook has no place for the key."""
        body = content_of(message)
        body.setdefault("blocks", sections(message["text"]))
        answer = call_sdk(SLACK_WEBHOOK, Call.EFFECT, lambda: self._client.send_dict(body))
        if answer.status_code == 200 and answer.body.strip() == POSTED:
            return Receipt()
        raise failed_post(answer)

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the webhook's limit; it is the same for every call."""
        return self._limits


def failed_post(response: WebhookResponse) -> DeliveryError:
    """Return the error that an answer other than ``ok`` stands for; it is a code in plain text."""
    status, text = response.status_code, response.body.strip()
    code = text if is_code(text) else None
    answer = f"Slack answered {status}" + (f": {code}" if code else "")
    outcome = SLACK_WEBHOOK.outcome(Call.EFFECT, status, code)
    return outcome.failure(answer=answer, pause=pause_in(response.headers))
