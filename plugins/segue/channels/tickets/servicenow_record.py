"""ServiceNow records (incidents, cases, tasks), through the Table API and the HTTP provider's hook.

Followed:
    https://www.servicenow.com/docs/r/api-reference/rest-apis/c_TableAPI.html (POST and GET of
    /api/now/table/{tableName}: sysparm_query, sysparm_fields, sysparm_limit, X-Total-Count)
    https://www.servicenow.com/docs/r/api-reference/rest-api-explorer/inbound-REST-API-rate-limiting.html
    (429, Retry-After; limits are the instance's own rules, by user and hour)
    https://support.servicenow.com/kb?id=kb_article_view&sysparm_article=KB0546297 (a transaction
    ends after five minutes; answers may leave out rows)
    https://www.servicenow.com/docs/r/integrate-applications/web-services/ (correlation_id and
    correlation_display of a task: the identity of a record in another system)
    https://support.servicenow.com/kb?id=kb_article_view&sysparm_article=KB3047115 (ACLs take rows
    out of an answer after the query; read in November 2026)
    https://www.servicenow.com/community/developer-blog/query-business-rules-a-definitive-guide/ba-p/2276867
    (a business rule before the query adds conditions to it: such rows are not shown nor counted)

An unknown field in a query is ignored by default, and then everything is found; so what is found
is compared again here.

A record that is not found is absent only where it would have been shown. X-Total-Count counts what
ACLs hide, and not what a business rule before the query or a domain hides. So the table must also
show some record that was made here: where such rules hide what this user makes, it shows none.

The connection is of type HTTP: host ``https://INSTANCE.service-now.com``, login and password of a
user; or ``oauth2`` in its extra, for a client with an application user. The user must be able to
create and to read every record of the table. The extra may give ``segue_rate``, the limit of the
instance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from segue.channels.http.answers import CallRefused, CallUnproven
from segue.channels.http.fields import Scalar, none_of
from segue.channels.http.sender import HttpSender
from segue.channels.look_ups import look_from
from segue.channels.tickets.base import PlacedTicket, receipt_of
from segue.contracts.channel import Finding, PartlyFound, Receipt, Tried
from segue.contracts.templates import Line, Text
from segue.contracts.writing import VendorMarkup
from segue.errors import (
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)

RATE = "5/second"  # an instance has rules of its own, and none of them is published
REFUSALS = {  # phrases in the detail of a 403
    "ACL Exception": "acl",
    "User Not Authorized": "acl",
    "Business Rule": "business_rule",
    "Data Policy": "data_policy",
}
OF_THE_RECORD = frozenset({"business_rule", "data_policy"})  # they refuse this record alone
# a journal field, such as `comments`, shows what is between [code] and [/code] as HTML
HTML_OF_A_JOURNAL = VendorMarkup(
    re.compile(r"\[\s*/?\s*code\s*\]", re.IGNORECASE),
    "[code] in it, behind which ServiceNow shows HTML, or a part of it",
)
ORIGIN = "segue"  # the correlation_display of what was made here
OWN_FIELDS = frozenset(
    {"short_description", "description", "correlation_id", "correlation_display"}
)

TableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class ServiceNowRecord(PlacedTicket):
    """Create a record of ServiceNow for the team: an incident, or one of any table of tasks.

    ``fields`` gives any further field by its name, as the value that the table keeps:
    ``urgency: "2"``, ``assignment_group: SYS_ID``. ServiceNow ignores a field that the table has
    not got, and a value that a choice has not. If ``caller_id`` is the contact, ServiceNow's
    notifications write to them: say ``audience: contact``.

    The table must have ``correlation_id``, as ``task`` and all that extend it do: it carries the
    delivery's key. Creating is not idempotent. A record that a business rule or a data policy
    refuses is of the contact; where the user lacks a right, it may be for this one or for all.
    Limits are rules of the instance, which answers 429 with Retry-After beyond.

    A delivery is doubtful when the answer was lost; a transaction may go on for five minutes after
    that. The record is then looked up by its ``correlation_id``. *Uncertain* is what is left: the
    table has no such field, or its list shows less than it counts, or nothing that was made here,
    because the user may not read every record. A record that somebody has deleted is created again.
    """

    name: ClassVar[str] = "servicenow_record"
    place: ClassVar[str] = "table"
    longest_call: ClassVar[float] = 360.0  # a transaction ends after five minutes
    replaced: ClassVar[VendorMarkup | None] = HTML_OF_A_JOURNAL

    connection: str = "servicenow_default"
    table: TableName = "incident"
    short_description: Line
    description: Text | None = None
    fields: Annotated[dict[str, Scalar], AfterValidator(none_of(OWN_FIELDS))] = {}  # noqa: RUF012

    def connect(self) -> ServiceNowRecords:
        """Open a session; nothing is sent yet."""
        return ServiceNowRecords.open(self, "ServiceNow", RATE, _codes)


class ServiceNowRecords(HttpSender):
    """An open connection to an instance."""

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Create one record."""
        table = message["table"]
        try:
            sys_id, number, note = self._calls.create(
                _path(table),
                record_of(message, key),
                read=lambda answer: _identity(answer["result"]),
            )
        except CallUnproven as error:
            if not OF_THE_RECORD.isdisjoint(error.codes):
                raise CallRefused(error.answer, error.codes, error.status) from None
            if error.status == 403:
                advice = f"check whether the connection's user may create records of {table}"
                raise UnprovenRefusal(error.answer, advice=advice) from None
            raise
        if note != key:
            raise OutcomeUnknown(
                f"ServiceNow made {number}, but the table {table} keeps no correlation_id"
            )
        return self._receipt(table, sys_id, number)

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look each record up by its correlation_id, in one call each."""
        look_from(since)
        receipts: dict[str, Receipt] = {}
        not_shown: list[tuple[str, str]] = []
        for key, trace in traces.items():
            record = self._record_of(trace["table"], key)
            if record is None:
                not_shown.append((trace["table"], key))
            else:
                receipts[key] = self._receipt(trace["table"], *record)
        try:
            for table, key in not_shown:
                self._require_none_hidden(table, key)
            for table in sorted({table for table, _ in not_shown}):
                self._require_sight_of_ours(table)
        except OutcomeUnknown as error:
            raise PartlyFound(str(error), receipts) from None
        return receipts

    def check(self, needs: Set[str]) -> Finding:
        """Read one record of each table; whether any may be created is seen when one is."""
        query = {"sysparm_fields": "sys_id", "sysparm_limit": "1"}
        for table in sorted(needs):
            self._calls.ask(_path(table), query, read=lambda answer, _: list(answer["result"]))
        return Finding(Tried.OK, f"its user may read {', '.join(sorted(needs))}")

    def _record_of(self, table: str, key: str) -> tuple[str, str] | None:
        """Return sys_id and number of the first record that carries the key."""

        def read(answer: Any, _: bool) -> tuple[str, str] | None:
            records = [_identity(record) for record in answer["result"]]
            if any(note != key for _, _, note in records):
                raise ValueError("it has not filtered, so the record may be on another page")
            return records[0][:2] if records else None

        return self._calls.ask(_path(table), _query(key), read=read)

    def _require_none_hidden(self, table: str, key: str) -> None:
        """Raise OutcomeUnknown where ServiceNow counts a record that it does not show.

        The count is in a header, and takes no notice of what the user may not read.
        """
        try:
            answer = self._calls.call("GET", _path(table), query=_query(key))
        except OutcomeUnknown as error:
            raise TransientFailure(f"{error}; nothing was changed by asking") from None
        except ContactFailure as error:
            raise OutcomeUnknown(f"{error} when asked how many records there are") from None
        if answer.headers.get("X-Total-Count") != "0":
            raise OutcomeUnknown(
                f"ServiceNow shows no such record of {table}, and does not say that there is none; "
                "the connection's user must be able to read every record"
            )

    def _require_sight_of_ours(self, table: str) -> None:
        """Raise OutcomeUnknown where a table shows no record at all that was made here."""

        def read(answer: Any, _: bool) -> bool:
            origins = [record["correlation_display"] for record in answer["result"]]
            if any(origin != ORIGIN for origin in origins):
                raise ValueError("it has not filtered")
            return bool(origins)

        query = {
            "sysparm_query": f"correlation_display={ORIGIN}^ORDERBYDESCsys_created_on",
            "sysparm_fields": "correlation_display",
            "sysparm_limit": "1",
        }
        if not self._calls.ask(_path(table), query, read=read):
            raise OutcomeUnknown(
                f"ServiceNow shows no record of {table} that was made here, so a rule may hide "
                "what the connection's user makes; it must be able to read every record"
            )

    def _receipt(self, table: str, sys_id: str, number: str) -> Receipt:
        url = f"{self._calls.base_url}/nav_to.do?uri={table}.do?sys_id={sys_id}"
        return receipt_of(sys_id, url, number=number)


def _path(table: str) -> str:
    return f"/api/now/table/{table}"


def _query(key: str) -> dict[str, str]:
    return {
        "sysparm_query": f"correlation_id={key}^ORDERBYsys_created_on",
        "sysparm_fields": "sys_id,number,correlation_id",
        "sysparm_limit": "1",
    }


def _identity(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return sys_id, number and correlation_id; a table without numbers has its sys_id for one."""
    sys_id = str(record["sys_id"])
    return sys_id, str(record.get("number") or sys_id), str(record["correlation_id"])


def record_of(message: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a rendered message as the fields of a record."""
    same = ("short_description", "description")
    return {
        **message["fields"],
        **{name: message[name] for name in same if name in message},
        "correlation_id": key,
        "correlation_display": ORIGIN,
    }


def _codes(answer: Any) -> Iterator[object]:
    """Yield what kind of refusal it is: ServiceNow has no codes, and its texts may quote ours."""
    error = answer["error"]
    text = f"{error['message']} {error['detail']}"
    yield from (code for phrase, code in REFUSALS.items() if phrase in text)
