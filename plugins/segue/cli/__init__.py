"""The ``segue`` command: what a person asks at a terminal, answered from files and the ledger.

It looks and never sends: only Airflow's tasks do (docs/design.md). Modules here import nothing
heavy at their top, so that ``--help`` answers at once; what a command needs it imports when it
runs.
"""
