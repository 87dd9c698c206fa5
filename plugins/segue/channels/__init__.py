"""The channels that come with Segue, one module per vendor, over Airflow's hooks and connections.

    slack_message        a message in Slack, to a channel or a person
    slack_webhook        a message in Slack, through an incoming webhook
    slack_blocks         what a message in Slack says: text, and blocks of Block Kit
    slack_calls          calls of Slack's SDK, and what its answers mean
    email_message        a mail with text and HTML parts, over SMTP
    zendesk_ticket       a Zendesk ticket
    freshdesk_ticket     a Freshdesk ticket
    text_message         a text message (SMS) through Twilio
    teams_message        a card in Microsoft Teams
    http_request         a request to any HTTP API
    http_calls           what channels over HTTP share: one session, and answers turned into errors
    expressions          what a definition says about an answer's JSON, in JMESPath
    html_text            the plain text of an HTML message
    adaptive_cards       the cards of Microsoft Teams, and the templates in them
    phone_numbers        how phone numbers are read
    addressing           who reads a message of a channel that writes to the team
    look_ups             from when on a doubtful message is looked for at its vendor
    rates                how often a connection may be called
    airflow_connections  opening connections, with Airflow's complaints as Segue's

A channel's module is imported when a workflow names the channel; Airflow's hooks and the vendors'
SDKs are imported when it connects, so that parsing a DAG costs neither. The interface, and how a
team adds a channel of its own, is in ``segue.delivery.channel``.

No error carries a contact's text: of what a vendor answers, only codes and field names are kept.
"""
