"""The name under which Airflow looks for a provider's example DAGs: that of its distribution.

With ``[core] load_examples``, which is on where nobody turned it off, Airflow 3.3 imports a module
of this name in every process and task, and logs a traceback where there is none. It is empty.
"""

from __future__ import annotations
