"""The names that a team's own channels, sources and operators import.

They stay as they are until the next major version; whatever else is in Segue's modules may move.
docs/adding-a-channel.md has a channel, docs/live-details.md a live source, docs/snapshots.md a
source of snapshots, docs/conditions.md an operator. Importing this module brings in neither pandas
nor Airflow nor a vendor's SDK, as a DAG file is parsed again in every task process: import those
where they are used.
"""

from __future__ import annotations

from segue.channels.airflow_connections import find_connection
from segue.channels.http.calls import HttpCalls, open_calls, open_webhook
from segue.channels.http.sender import HttpSender
from segue.channels.look_ups import look_from
from segue.channels.rates import limits_of
from segue.contracts.channel import (
    Audience,
    Channel,
    Finding,
    Limit,
    NoAddress,
    OpenTicket,
    OptedOut,
    PartlyFound,
    Receipt,
    Sender,
    Tried,
)
from segue.contracts.live_source import FoundByName, LiveReader, LiveSource
from segue.contracts.templates import CardText, Html, Line, Mrkdwn, Text, Url, UrlPath
from segue.directory.take_source import SnapshotReader, SnapshotSource
from segue.documents import Definition
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    Deferral,
    DeliveryError,
    OutcomeUnknown,
    SettingsError,
    TransientFailure,
    UnprovenRefusal,
)
from segue.segments.conditions import operands
from segue.segments.conditions.aggregates import Aggregate, register_aggregate
from segue.segments.conditions.registry import Moment, Operator, Reading, register

__all__ = [
    "Aggregate",
    "Audience",
    "CardText",
    "Channel",
    "ConnectionFailure",
    "ContactFailure",
    "Deferral",
    "Definition",
    "DeliveryError",
    "Finding",
    "FoundByName",
    "Html",
    "HttpCalls",
    "HttpSender",
    "Limit",
    "Line",
    "LiveReader",
    "LiveSource",
    "Moment",
    "Mrkdwn",
    "NoAddress",
    "OpenTicket",
    "Operator",
    "OptedOut",
    "OutcomeUnknown",
    "PartlyFound",
    "Reading",
    "Receipt",
    "Sender",
    "SettingsError",
    "SnapshotReader",
    "SnapshotSource",
    "Text",
    "TransientFailure",
    "Tried",
    "UnprovenRefusal",
    "Url",
    "UrlPath",
    "find_connection",
    "limits_of",
    "look_from",
    "open_calls",
    "open_webhook",
    "operands",
    "register",
    "register_aggregate",
]
