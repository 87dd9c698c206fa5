"""Loopback look-alikes of the services Segue sends to, so that demos and tests send for real.

Nothing here is reached by Segue's own code paths: a workflow talks to the sandbox because its
Airflow connections point at it. The look-alikes follow the vendors' public documentation, not
what Segue's channels happen to send, so that a wrong request is refused here as it would be there.

    store          what was received, in memory and in an append-only file
    faults         answers that go wrong on purpose, asked for over HTTP
    wire           the parts of HTTP that all look-alikes share
    slack_api, zendesk_api, freshdesk_api, twilio_api, teams_api    one vendor each
    qualtrics_api  XM Directory, distributions, tickets and JSON events of Qualtrics
    http_api       an API of nobody in particular, for the channel http_request
    smtp_server    a mail server that keeps what it accepts
    inbox          the pages that show what was received
    server         all of it on one HTTP and one SMTP port
"""
