"""Crash injection for the delivery protocol: ``make torture``.

Workers deliver through the real door and the real channels to the sandbox; they are killed, servers
misbehave, the ledger's database restarts. What went out is counted by the servers.

    vendors      the channels, as tests/channels says: their connections, and what names a delivery
    databases    a PostgreSQL server of the test's own, in a temporary folder
    deadly       a sandbox that kills the worker whose request it is serving
    worker       a warm process that forks one worker after another
    trials       one ledger, one server, and the workers that come and go until all is delivered
    experiments  what is done to them: the rows of the table
    plan         all experiments, and the processes that carry them out
"""
