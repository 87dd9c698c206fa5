"""What Airflow's *Test* button calls for ``connection_types``: the channel's own check.

The same as ``segue check-connections`` does, without anything of a workflow: nothing is sent.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any, ClassVar

from airflow.sdk import BaseHook

from segue.connection_types import CONNECTION_TYPES


class ChannelHook(BaseHook):
    """Tries the connection of a channel. ``needs`` is what the channel's check looks for."""

    conn_name_attr = "connection"
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]
    channel: ClassVar[str]
    needs: ClassVar[Set[str]] = frozenset()

    def __init__(self, connection: str) -> None:
        super().__init__()
        self.connection = connection

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the form looks, for Airflow before 3.2: later ones read the package's info."""
        own = next(each for each in CONNECTION_TYPES if each.name == cls.conn_type)
        return {
            "hidden_fields": list(own.hidden),
            "relabeling": dict(own.labels),
            "placeholders": dict(own.placeholders),
        }

    def test_connection(self) -> tuple[bool, str]:
        """Return whether it works, and what was seen or what is to be done."""
        from segue.contracts.channel import Tried, channel_class
        from segue.errors import SegueError

        # of a channel's fields only the connection counts here
        channel = channel_class(self.channel).model_construct(connection=self.connection)
        try:
            with channel.connect() as sender:
                finding = sender.check(self.needs)
        except SegueError as error:
            return False, str(error)
        return finding.tried is not Tried.FAILED, f"{finding.tried}: {finding.detail}"


class ZendeskHook(ChannelHook):
    """Zendesk, as ``zendesk_ticket`` uses it."""

    conn_type, hook_name, channel = "segue_zendesk", "Zendesk (Segue)", "zendesk_ticket"
    default_conn_name = "zendesk_default"


class FreshdeskHook(ChannelHook):
    """Freshdesk, as ``freshdesk_ticket`` uses it."""

    conn_type, hook_name, channel = "segue_freshdesk", "Freshdesk (Segue)", "freshdesk_ticket"
    default_conn_name = "freshdesk_default"


class JiraHook(ChannelHook):
    """Jira, as ``jira_issue`` uses it."""

    conn_type, hook_name, channel = "segue_jira", "Jira Cloud (Segue)", "jira_issue"
    default_conn_name = "jira_default"


class ServiceNowHook(ChannelHook):
    """ServiceNow, as ``servicenow_record`` uses it, with the table of incidents."""

    conn_type, hook_name, channel = "segue_servicenow", "ServiceNow (Segue)", "servicenow_record"
    default_conn_name = "servicenow_default"
    needs = frozenset({"incident"})


class TwilioHook(ChannelHook):
    """Twilio, as ``text_message`` uses it."""

    conn_type, hook_name, channel = "segue_twilio", "Twilio (Segue)", "text_message"
    default_conn_name = "twilio_default"


class TeamsHook(ChannelHook):
    """A webhook of Teams, as ``teams_message`` uses it."""

    conn_type, hook_name = "segue_teams", "Microsoft Teams webhook (Segue)"
    channel = "teams_message"
    default_conn_name = "teams_default"


class QualtricsHook(ChannelHook):
    """Qualtrics, as its channels use it."""

    conn_type, hook_name, channel = "segue_qualtrics", "Qualtrics (Segue)", "qualtrics_contact"
    default_conn_name = "qualtrics_default"
