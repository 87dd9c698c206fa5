"""For every test: no setting of the developer's own, an Airflow home that is thrown away, no haste.

Files are kept in memory where there is room: a ledger waits for the disk at each commit.

With several workers (``make test``) each has its own, and a file's tests go to one of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30  # bytes, several times what all tests together leave
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)  # of the processes that tests start, too

_home = tempfile.TemporaryDirectory(prefix="segue-tests-")
for _name in [name for name in os.environ if name.startswith("SEGUE_")]:
    if not _name.startswith("SEGUE_TEST_"):
        del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"

# A busy machine is slow, and that is no property.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# Their tests share an Airflow, which takes longer to start than most files take to run.
TOGETHER = ("tests/airflow/", "tests/ui/")
APART = ("tests/airflow/test_channels.py", "tests/ui/test_browser.py")  # have one of their own


class ByFile(LoadFileScheduling):
    """One unit of work per file, or per folder whose files share what is slow to start."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        shared = (folder for folder in TOGETHER if file.startswith(folder))
        return file if file in APART else next(shared, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)
