"""The channels that come with Segue, one module per vendor, over Airflow's hooks and connections.

A module that is named like a channel is that channel; the others are what several of them share,
such as ``http_calls``, what answers over HTTP mean. ``BUILT_IN`` of ``segue.delivery.channel``
lists the channels; each module's first line says what it is for.

A channel's module is imported when a workflow names the channel; Airflow's hooks and the vendors'
SDKs are imported when it connects, so that parsing a DAG costs neither. The interface, and how a
team adds a channel of its own, is in ``segue.delivery.channel``.

No error carries a contact's text: of what a vendor answers, only codes and field names are kept.
"""
