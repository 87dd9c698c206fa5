"""Airflow connections to a running sandbox, for each kind of message that it receives."""

from __future__ import annotations

from typing import Any

from segue.sandbox import access_tokens
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import (
    freshdesk_api,
    http_api,
    jira_api,
    qualtrics_api,
    servicenow_api,
    slack_api,
    teams_api,
    twilio_api,
)

_QUALTRICS = ("survey_invitation", "survey_link", "qualtrics_contact", "qualtrics_ticket")


def connections_by_channel(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Return the fields of a connection that leads to a sandbox, by the channel that uses it."""
    zendesk = _http(
        sandbox,
        "zendesk",
        login=access_tokens.CLIENT_ID,
        password=access_tokens.CLIENT_SECRET,
        extra={
            "oauth2": {"endpoint": f"{sandbox.url}/zendesk/oauth/tokens", "scope": "read write"}
        },
    )
    freshdesk = {"login": freshdesk_api.API_KEY, "password": "X"}
    jira = {"login": jira_api.EMAIL_ADDRESS, "password": jira_api.API_TOKEN}
    servicenow = {"login": servicenow_api.USER, "password": servicenow_api.PASSWORD}
    twilio = {"login": twilio_api.ACCOUNT_SID, "password": twilio_api.AUTH_TOKEN}
    qualtrics = _http(sandbox, "qualtrics", password=qualtrics_api.TOKEN)
    return {
        "email": _mail(sandbox),
        "slack_message": {
            "conn_type": "slack",
            "password": slack_api.TOKEN,
            "extra": {"base_url": f"{sandbox.url}/slack/api/"},
        },
        "slack_webhook": {
            "conn_type": "slackwebhook",
            "host": f"{sandbox.url}/slack/services",
            "password": slack_api.WEBHOOK,
        },
        "teams_message": {
            "conn_type": "http",
            "password": f"{sandbox.url}/teams{teams_api.WEBHOOK}",
        },
        "zendesk_ticket": zendesk,
        "freshdesk_ticket": _http(sandbox, "freshdesk", **freshdesk),
        "jira_issue": _http(sandbox, "jira", **jira),
        "servicenow_record": _http(sandbox, "servicenow", **servicenow),
        "text_message": _http(sandbox, "twilio", **twilio),
        "http_request": _http(sandbox, "http", extra={"Authorization": f"Bearer {http_api.TOKEN}"}),
        **dict.fromkeys(_QUALTRICS, qualtrics),
    }


def _http(sandbox: Sandbox, service: str, **fields: Any) -> dict[str, Any]:
    return {"conn_type": "http", "host": f"{sandbox.url}/{service}", **fields}


def _mail(sandbox: Sandbox) -> dict[str, Any]:
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "segue@example.com"}
    return {
        "conn_type": "smtp",
        "host": sandbox.host,
        "port": sandbox.smtp_port,
        "extra": extra,
    }
