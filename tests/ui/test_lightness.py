"""The plugin costs a scheduler and a task nothing: the API server alone builds the pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from airflow.api_fastapi.core_api.datamodels.plugins import PluginResponse

from segue.plugin import SeguePlugin

ROOT = Path(__file__).parents[2]
HEAVY = ("fastapi", "jinja2.environment", "sqlalchemy.dialects", "pandas", "segue.web")


def test_importing_the_plugin_imports_neither_fastapi_nor_the_pages():
    """Measured against the base class that every plugin imports."""
    code = (
        "import sys; import airflow.plugins_manager; before = set(sys.modules); "
        "import segue.plugin; print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    new = done.stdout.split()
    assert "segue.plugin" in new
    assert [name for name in new if name.startswith(HEAVY)] == []
    # what Airflow itself asks the package for its settings has imported the others
    assert [name for name in new if name.startswith("segue")] == ["segue.plugin"]


def test_airflow_accepts_every_view():
    """One view that it does not know the destination of would drop the whole plugin."""
    views = SeguePlugin.external_views
    fields = {name: [] for name in PluginResponse.model_fields}
    fields |= {"name": "segue", "source": "a test", "external_views": views}
    accepted = PluginResponse.model_validate(fields).external_views
    assert [view.destination for view in accepted] == [
        "nav",
        "dag",
        "dag_run",
        "task",
        "task_instance",
    ]
    assert len({view["url_route"] for view in views}) == len(views)


def test_the_process_that_makes_a_plan_imports_neither_airflow_nor_the_pages():
    """It is started for every preview: only what plans is worth waiting for."""
    code = "import sys; import segue.web.planner; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = ("airflow", "fastapi", "segue.web.app")
    assert [name for name in done.stdout.split() if name.startswith(heavy)] == []
