"""The channels that come with Segue, a folder per family, over Airflow's hooks and connections.

``BUILT_IN`` of ``segue.contracts.channel`` says which module is which channel; each module's first
line says what it is for. What all families share stands here; what channels over HTTP share, in
``http``.

A channel's module is imported when a workflow names the channel; Airflow's hooks and the vendors'
SDKs are imported when it connects, so that parsing a DAG costs neither. The interface, and how a
team adds a channel of its own, is in ``segue.contracts.channel``.

No error carries a contact's text: of what a vendor answers, only codes and field names are kept.
"""
