"""For every test: no setting of the developer's own, and an Airflow home that is thrown away."""

from __future__ import annotations

import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="segue-tests-")
for _name in [name for name in os.environ if name.startswith("SEGUE_")]:
    if not _name.startswith("SEGUE_TEST_"):
        del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
