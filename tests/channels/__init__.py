"""What every channel has to do, said once per channel and held against the real thing.

A channel is one module in ``cases``, with a ``CASE``: how its action is written, what its server
must have received of it, and what it does when something goes wrong. The same case drives

    tests/unit/channels/test_contract.py  its class against the sandbox: fields, failures, questions
    tests/airflow/test_channels.py        a workflow on Airflow against the sandbox, field by field
    tests/torture                         killed workers, lost answers, races (``make torture``)
    tests/unit/test_channel_cases.py      that no channel and none of its fields is left out

    case      what a case says
    people    the contacts that all channels write to: one for each thing that can happen
    stage     the definitions, the sandbox and the process that runs the DAGs
    run       that process
    cases     the channels, one module each
"""
