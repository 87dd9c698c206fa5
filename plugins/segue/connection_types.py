"""The types of connections that Airflow's form has for the vendors of Segue's channels.

They are connections over HTTP with a form that asks for what the vendor wants and a button that
tries it. No channel asks for a type: one of type ``http`` with the same fields does the same. Names
begin with ``segue_``, so that none is a type of another provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionType:
    """One type. ``hook`` is the class in ``connection_hooks`` that tries it."""

    name: str
    title: str
    hook: str
    labels: Mapping[str, str]
    placeholders: Mapping[str, str]
    hidden: Sequence[str] = ("schema", "port")


_OAUTH2 = '{"oauth2": {"endpoint": "https://…", "scope": "…"}}'
CONNECTION_TYPES = (
    ConnectionType(
        "segue_zendesk",
        "Zendesk (Segue)",
        "ZendeskHook",
        {"host": "URL", "login": "OAuth client id", "password": "OAuth client secret"},
        {
            "host": "https://SUBDOMAIN.zendesk.com",
            "login": "client identifier, or EMAIL/token with an API token",
            "extra": _OAUTH2,
        },
    ),
    ConnectionType(
        "segue_freshdesk",
        "Freshdesk (Segue)",
        "FreshdeskHook",
        {"host": "URL", "login": "API key"},
        {"host": "https://DOMAIN.freshdesk.com", "password": "X: any text will do"},
    ),
    ConnectionType(
        "segue_jira",
        "Jira Cloud (Segue)",
        "JiraHook",
        {"host": "URL", "login": "User's address", "password": "API token"},
        {
            "host": "https://SITE.atlassian.net",
            "login": "agent@example.com",
            "extra": '{"site": "https://SITE.atlassian.net"}, behind api.atlassian.com',
        },
    ),
    ConnectionType(
        "segue_servicenow",
        "ServiceNow (Segue)",
        "ServiceNowHook",
        {"host": "URL", "login": "User, or OAuth client id"},
        {"host": "https://INSTANCE.service-now.com", "extra": _OAUTH2},
    ),
    ConnectionType(
        "segue_twilio",
        "Twilio (Segue)",
        "TwilioHook",
        {"host": "URL", "login": "Account SID, or SID of an API key", "password": "Auth token"},
        {
            "host": "https://api.twilio.com",
            "login": "AC…",
            "extra": '{"account_sid": "AC…"}, with an API key',
        },
    ),
    ConnectionType(
        "segue_teams",
        "Microsoft Teams webhook (Segue)",
        "TeamsHook",
        {"password": "Webhook's whole URL"},
        {"password": "https://….api.powerplatform.com:443/powerautomate/…&sig=…"},
        hidden=("schema", "port", "host", "login"),
    ),
    ConnectionType(
        "segue_qualtrics",
        "Qualtrics (Segue)",
        "QualtricsHook",
        {"host": "URL", "login": "OAuth client id", "password": "API token, or client secret"},
        {
            "host": "https://DATACENTER.qualtrics.com",
            "login": "empty with an API token",
            "extra": _OAUTH2,
        },
    ),
)
