"""A look-alike of the parts of Qualtrics' API v3 that Segue calls, and of JSON events.

Follows:
    https://api.qualtrics.com/dd105bd826317-get-directory-contact (the fields of its answer, as
    public clients of it show them: times are milliseconds since 1970)
    https://developers.qodex.ai/qualtrics-public/ (a mirror of Qualtrics' published collection:
    the envelope of ``result`` and ``meta``, ``nextPage``; contacts, transactions and their batches,
    distributions, SMS distributions, tickets)
    https://github.com/wtx-labs/qualtrics-api-client-java (generated from Qualtrics' description of
    version 3.0.0: contacts of directories and of mailing lists, with their memberships)
    https://www.qualtrics.com/support/survey-platform/actions-module/json-events/ (X-API-TOKEN or
    basic authentication with user and token; 100 KB)
What public clients rely on is inferred: ``createdTransactions``,
``CreateTransactionBatchDistribution``, ``key`` of a ticket in a search. What a request without a
token (400 ATP_2), with a wrong one (401 DCD_7), to an unknown path (404 without a code) and without
a body (411) is answered was seen at the vendor's by others; other codes and texts are inferred.

There is one directory with one mailing list, and one JSON event; and directories of any size, which
are only to be read (``generated``). **A contact whose id is lower-case
letters and digits exists**, as one of a team's own directory, in the list and with an address of
each kind: not if it begins with ``missing-``; ``unlisted-`` is not in the list, ``silent-`` has no
addresses, ``leaver-`` is opted out. All others are created first, and are called ``CID_``. Every
survey exists but ``SV_missing``; links of ``SV_closed`` are refused, as of one that is not active.
The event's workflow is the one that Segue's page on channels describes: its Tickets task makes a
ticket at once and keeps ``segue_delivery``, and all of ``data``, as ticket data.

Left out: limits that bite (ask for a fault) but for the directories of any size, search, libraries,
links for a whole mailing list, the delay of a workflow.
"""

from __future__ import annotations

from segue.sandbox.vendors.qualtrics_api import contacts, distributions, memberships, tickets
from segue.sandbox.vendors.qualtrics_api.answers import SERVICE, TOKEN, USER_ID, api
from segue.sandbox.vendors.qualtrics_api.contacts import DIRECTORY, MAILING_LIST
from segue.sandbox.vendors.qualtrics_api.tickets import EVENT

__all__ = [
    "DIRECTORY", "EVENT", "MAILING_LIST", "SERVICE", "TOKEN", "USER_ID", "api", "contacts",
    "distributions", "memberships", "tickets",
]  # fmt: skip
