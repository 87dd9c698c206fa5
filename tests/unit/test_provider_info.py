"""What Airflow knows of the package: provider, configuration, one plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from segue.errors import SettingsError
from segue.provider_info import get_provider_info
from segue.settings import OPTIONS, Settings

AIRFLOW = Path(find_spec("airflow").submodule_search_locations[0])


def test_airflow_s_schema_accepts_what_the_package_says_of_itself():
    info = get_provider_info()
    schema = json.loads((AIRFLOW / "provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)
    assert info["package-name"] == metadata.distribution(info["package-name"]).name
    assert info["versions"] == [metadata.version(info["package-name"])]
    assert "plugins" not in info  # it has an entry point, and once is enough


def test_airflow_finds_a_module_of_the_provider_s_name():
    """Where there is none, each process that loads example DAGs logs a traceback."""
    assert find_spec(get_provider_info()["package-name"].replace("-", "_")) is not None


def entry_points(group: str) -> list[str]:
    distribution = metadata.distribution("airflow-segue")
    return [point.value for point in distribution.entry_points if point.group == group]


def test_airflow_finds_the_plugin_and_the_provider_by_entry_points():
    assert entry_points("airflow.plugins") == ["segue.plugin:SeguePlugin"]
    assert entry_points("apache_airflow_provider") == ["segue.provider_info:get_provider_info"]


@pytest.mark.airflow
def test_a_shim_in_the_plugins_folder_costs_no_plugin_and_says_that_it_is_to_go(tmp_path):
    """The managers of tasks stop at a name that they meet twice: others would be gone."""
    (tmp_path / "segue_plugin.py").write_text("from segue.airflow_plugin import SeguePlugin")
    (tmp_path / "zzz.py").write_text(
        "from airflow.plugins_manager import AirflowPlugin\n"
        "class Other(AirflowPlugin):\n    name = 'other'\n"
    )
    code = """
import json
from airflow import plugins_manager as core
if hasattr(core, "_get_plugins"):
    from airflow.sdk import plugins_manager as sdk
    both = [each._get_plugins() for each in (core, sdk)]
else:  # Airflow 3.1 has one
    core.ensure_plugins_loaded()
    both = [(core.plugins, core.import_errors)]
print(json.dumps([([each.name for each in plugins], errors) for plugins, errors in both]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    for names, errors in json.loads(done.stdout.splitlines()[-1]):
        assert {"segue", "other"} <= set(names)
        [error] = errors.values()
        assert "a copy of Segue in Airflow's plugins folder: delete it there" in error


# ---- [segue] in Airflow's configuration ---------------------------------------------------------


@pytest.fixture
def airflow_home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path


def test_an_option_of_airflow_is_read_where_no_variable_is_set(airflow_home, monkeypatch):
    monkeypatch.setenv("AIRFLOW__SEGUE__NAMESPACE", "staging")
    monkeypatch.setenv("AIRFLOW__SEGUE__CATCH_UP", "false")
    settings = Settings.from_environment()
    assert (settings.namespace, settings.catch_up) == ("staging", False)
    monkeypatch.setenv("SEGUE_NAMESPACE", "prod")
    assert Settings.from_environment().namespace == "prod"


def test_a_secret_may_come_from_a_command(airflow_home, monkeypatch):
    monkeypatch.setenv("AIRFLOW__SEGUE__LEDGER_CMD", "echo sqlite:////somewhere/segue.db")
    assert Settings.from_environment().ledger == "sqlite:////somewhere/segue.db"


def test_a_secret_may_come_from_a_secrets_backend(airflow_home):
    """``…_SECRET`` names it there; in a process of its own, for Airflow reads backends once."""
    (airflow_home / "kept.py").write_text(
        "from airflow.secrets import BaseSecretsBackend\n"
        "class Kept(BaseSecretsBackend):\n"
        "    def get_config(self, key):\n"
        "        return {'segue/ledger': 'sqlite:////kept/segue.db'}.get(key)\n"
    )
    code = "from segue.settings import Settings; print(Settings.from_environment().ledger)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(airflow_home), os.environ.get("PYTHONPATH", "")]),
            "AIRFLOW__SECRETS__BACKEND": "kept.Kept",
            "AIRFLOW__SEGUE__LEDGER_SECRET": "segue/ledger",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "sqlite:////kept/segue.db"


@pytest.mark.parametrize("command", ["false", "no-such-program", "echo 'half"])
def test_a_command_that_fails_is_an_error_that_names_the_option(airflow_home, monkeypatch, command):
    monkeypatch.setenv("AIRFLOW__SEGUE__SECRET_CMD", command)
    with pytest.raises(SettingsError, match=r"\[segue\] secret"):
        Settings.from_environment()


def test_a_wrong_option_is_named_as_it_was_written(airflow_home, monkeypatch):
    monkeypatch.setenv("AIRFLOW__SEGUE__RETENTION", "400")
    with pytest.raises(SettingsError, match=r"\[segue\] retention: '400' is not a duration"):
        Settings.from_environment()


def test_airflow_s_file_is_read_and_its_comments_are_no_options(airflow_home):
    """A process of its own: Airflow reads its file once."""
    (airflow_home / "airflow.cfg").write_text("[segue]\nnamespace = filed\n# state = /nowhere\n")
    code = "from segue.settings import Settings as S; print(S.from_environment().namespace)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "filed"


def test_a_section_that_stands_twice_in_airflow_s_file_is_one_message(airflow_home):
    """Airflow writes the section, all comments, into the file that it makes."""
    (airflow_home / "airflow.cfg").write_text("[segue]\n# home =\n[segue]\nnamespace = prod\n")
    command = [sys.executable, "-m", "segue.cli.main", "deliveries"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "section 'segue' already exists" in done.stderr


def test_airflow_is_not_imported_where_its_configuration_says_nothing_of_segue(airflow_home):
    (airflow_home / "airflow.cfg").write_text("[core]\n[segue]\n# namespace = \n")
    code = (
        "import sys; from segue.settings import Settings; Settings.from_environment(); "
        "print('airflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_every_option_is_a_setting():
    assert set(OPTIONS) == set(Settings.__slots__)
