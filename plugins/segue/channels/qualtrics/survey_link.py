"""A contact's own link to a Qualtrics survey, for what other channels write.

Followed (https://developers.qodex.ai/qualtrics-public/ mirrors Qualtrics' published collection):
    contact transactions (POST /directories/{d}/transactions, GET …/contacts/{c}/transactions)
    transaction-batches/directories-directoryid-transactionbatches/create-transaction-batch
    distributions-distributions/create-distribution-1, "Generate Distribution Links"
    distributions/distributions-distributionid/list-distribution-links (contactId, transactionId,
    link)
    https://api.qualtrics.com/a5e9a1a304902-limits (500 transactions, batches and lists of links a
    minute)

Links are made for a mailing list or for a batch of transactions, never for a single contact. So
the contact gets one transaction, which says why, and the links of a batch with nothing else in it
are made: four calls. Inferred, from public clients: ``CreateTransactionBatchDistribution``, and
``createdTransactions`` in an answer.

The connection is described in ``calls``. Its user must be able to write transactions of
the directory and to distribute the survey.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from segue.channels.http.answers import is_code
from segue.channels.look_ups import look_from
from segue.channels.qualtrics.calls import (
    DELIVERY,
    PAGE_SIZE,
    AboutContact,
    MailingListId,
    SurveyId,
    SurveySender,
    contact_path,
    identifier,
    instant,
    pages,
)
from segue.contracts.channel import Receipt
from segue.durations import Duration, DurationField
from segue.errors import ContactFailure, DeliveryError, OutcomeUnknown

LINKS = 500  # calls a minute
OURS = "segue"  # the name of the transaction within its request
ACTION = "CreateTransactionBatchDistribution"


class SurveyLink(AboutContact):
    """Have a link made to a survey, which is the contact's own.

    An action after it writes the link: ``{{ results.ID.url }}``, where ``ID`` is this action's id.
    Nobody is written to. The contact must be in the ``mailing_list``; ``contact`` is its id in XM
    Directory (``CID_…``), the contact's own id where it is left out. The link is valid for
    ``expires``, 60 days where it is left out.

    Qualtrics makes such links for transactions: the contact gets one, with the delivery's key in
    its data, once. It allows 500 of each of the four calls a minute.

    A delivery is doubtful when an answer was lost. The contact's transactions are then looked
    through: if the delivery's is there, a link is made for it; a second link of which nobody knows
    harms nobody. *Uncertain* is what is left: the contact has more than 10,000 transactions, or is
    gone.
    """

    name: ClassVar[str] = "survey_link"
    reads: ClassVar[frozenset[str]] = frozenset()
    longest_call: ClassVar[float] = 360.0  # four requests
    can_be_asked: ClassVar[bool] = True  # a transaction carries the key

    survey: SurveyId
    mailing_list: MailingListId
    expires: DurationField = Duration(60, "d")

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a link needs, for one contact."""
        return {**super().render(variables), "expires": str(self.expires)}

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return all of it: ids."""
        return {name: message[name] for name in ("directory", "contact", "survey", "mailing_list")}

    def connect(self) -> SurveyLinks:
        """Open a session; nothing is made yet."""
        return SurveyLinks.open_session(self, self.expires.approximate(), links=LINKS)


class SurveyLinks(SurveySender):
    """An open connection to Qualtrics."""

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Record the contact's transaction, and have a link made for it."""
        transaction = self._record(message, key)
        try:
            return self._link(transaction, message)
        except ContactFailure:
            raise
        except DeliveryError as error:  # its transaction is there, so that it is not begun anew
            raise OutcomeUnknown(f"{error}; the link's transaction is made") from None

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look for each transaction; have a link made for one that is there."""
        look_from(since)
        transactions = {key: self._transaction_of(key, trace) for key, trace in traces.items()}
        receipts: dict[str, Receipt] = {}
        for key, transaction in transactions.items():
            if transaction is not None:
                try:
                    receipts[key] = self._link(transaction, traces[key])
                except ContactFailure as error:
                    raise OutcomeUnknown(str(error)) from None
        return receipts

    def _record(self, message: Mapping[str, Any], key: str) -> str:
        transaction = {
            "contactId": message["contact"],
            "mailingListId": message["mailing_list"],
            "transactionDate": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
            "data": {DELIVERY: key, "surveyId": message["survey"]},
        }

        def read(answer: Any) -> tuple[str | None, object]:
            result = answer["result"]
            transaction_of_ours = result["createdTransactions"].get(OURS)
            if transaction_of_ours is None:
                return None, result["unprocessedTransactions"][OURS].get("errorCode")
            return identifier(transaction_of_ours["id"]), None

        transaction_id, code = self._calls.create(
            f"/directories/{message['directory']}/transactions",
            {OURS: transaction},
            read=read,
        )
        if transaction_id is None:
            why = f": {code}" if is_code(code) else ""
            raise ContactFailure(f"Qualtrics makes no transaction for the contact{why}")
        return transaction_id

    def _link(self, transaction: str, message: Mapping[str, Any]) -> Receipt:
        now = datetime.now(UTC)
        batch = self._make(
            f"/directories/{message['directory']}/transactionbatches",
            {"transactionIds": [transaction], "creationDate": instant(now)},
        )
        distribution = self._make(
            "/distributions",
            {
                "surveyId": message["survey"],
                "linkType": "Individual",
                "description": f"Segue {transaction}",
                "action": ACTION,
                "transactionBatchId": batch,
                "expirationDate": f"{now + self._lasts:%Y-%m-%d %H:%M:%S}",
                "mailingListId": message["mailing_list"],
            },
        )
        query = {"surveyId": message["survey"]}
        path = f"/distributions/{distribution}/links"
        url = self._calls.ask(path, query, read=_only_link)
        return Receipt(transaction, url, {"id": transaction, "url": url})

    def _make(self, path: str, body: Mapping[str, Any]) -> str:
        return self._calls.create(
            path,
            body,
            read=lambda answer: identifier(answer["result"]["id"]),
        )

    def _transaction_of(self, key: str, trace: Mapping[str, str]) -> str | None:
        path = f"{contact_path(trace['directory'], trace['contact'])}/transactions"
        elements = pages(self._calls, path, {"pageSize": str(PAGE_SIZE)})
        for each in elements:
            if dict(each.get("data") or {}).get(DELIVERY) == key:
                return str(each.get("transactionId") or each.get("id"))
        return None


def _only_link(answer: Any, _: bool) -> str:
    [element] = answer["result"]["elements"]
    return identifier(element["link"])
