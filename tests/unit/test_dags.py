"""The DAG files: what parsing builds, what it imports, and what a broken definition does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import DAG

from segue.dag_builder import (
    check_definitions,
    housekeeping_dag,
    release_dag,
    workflow_dag,
    workflow_dags,
)
from segue.errors import DefinitionError
from segue.workflows.catalog import Catalog

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow 3.1
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"pandas", "pyarrow", "fastapi", "slack_sdk"}

PARSER = """
import json, os, runpy, sys
import airflow.sdk

before = set(sys.modules)


def parse(files):
    built, errors = {}, {}
    for path in files:
        try:
            found = runpy.run_path(path)
        except Exception as error:
            errors[path.rsplit("/", 1)[-1]] = f"{type(error).__name__}: {error}"
            continue
        for value in found.values():
            if isinstance(value, airflow.sdk.DAG):
                built[value.dag_id] = {
                    "tasks": value.task_ids,
                    "paused": value.is_paused_upon_creation,
                    "catchup": value.catchup,
                    "owner": value.owner,
                    "tags": sorted(value.tags),
                    "schedule": type(value.timetable).__name__,
                }
    new = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
    return {"dags": built, "errors": errors, "imported": new}


for line in sys.stdin:
    files, environment, answer = json.loads(line)
    if not (child := os.fork()):
        os.environ.clear()
        os.environ.update(environment)
        with open(answer, "w") as file:
            json.dump(parse(files), file)
        os._exit(0)
    print(os.waitpid(child, 0)[1], file=sys.__stdout__, flush=True)
"""
Parse = Callable[..., dict[str, Any]]


@contextmanager
def parsing(answer: Path, **environment: str) -> Iterator[Parse]:
    """A process that has imported Airflow's SDK, and parses in forks of it, as Airflow does."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PARSER],
        env={**os.environ, **environment},
        stdin=pipe,
        stdout=pipe,
        text=True,
    ) as process:

        def parse(*files: Path, home: Path | None = None, **environment: str) -> dict[str, Any]:
            place = {} if home is None else {"SEGUE_HOME": str(home)}
            question = [[*map(str, files)], {**os.environ, **environment, **place}, str(answer)]
            print(json.dumps(question), file=process.stdin, flush=True)
            assert process.stdout.readline() == "0\n"
            return json.loads(answer.read_text())

        yield parse


@pytest.fixture(scope="module")
def parse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parse]:
    """Parses DAG files with the package that is tried here."""
    with parsing(tmp_path_factory.mktemp("parsed") / "answer.json") as parse:
        yield parse


@pytest.fixture(scope="module")
def parse_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parse]:
    """Parses them with a package that has no definitions beside it."""
    packages = tmp_path_factory.mktemp("site-packages")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "plugins/segue", packages / "segue", ignore=skip)
    with parsing(packages / "answer.json", PYTHONPATH=str(packages)) as parse:
        yield parse


def home(folder: Path, workflows: int = 1) -> Path:
    """Definitions with this many healthy workflows."""
    files = {
        "directories/people": {"directory": "people", "snapshots": "../snapshots"},
        "segments/gold": {
            "segment": "gold",
            "directory": "people",
            "match": {"field": "tier", "equals": "gold"},
        },
    }
    for number in range(workflows):
        files[f"workflows/flow_{number:03}"] = {
            "workflow": f"flow_{number:03}",
            "segment": "gold",
            "changes": ["added"],
            "schedule": "@daily",
            "start": "2026-11-01",
            "owner": "customer-success",
            "tags": ["vip"],
            "actions": [{"id": "alert", "slack_message": {"channel": "#a", "text": "hi"}}],
        }
    for name, data in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data))
    return folder


def test_the_projects_dag_files_parse_without_heavy_imports(parse):
    """All of dags/: no error, and none of pandas, pyarrow, FastAPI and slack_sdk is imported."""
    found = parse(*sorted((ROOT / "dags").glob("*.py")))
    assert (found["errors"], HEAVY & set(found["imported"])) == ({}, set())
    assert set(found["dags"]) == {
        "escalate_at_risk",
        "report_opt_outs",
        "segue_housekeeping",
        "segue_release",
        "welcome_by_hand",
        "welcome_high_value",
    }


def test_a_workflow_becomes_one_dag_with_a_task_per_step_and_action(parse, tmp_path):
    """Created paused, catching up, with its owner and tags, on a timetable with data intervals."""
    dag = parse(ROOT / "dags/segue_dags.py", home=home(tmp_path))["dags"]["flow_000"]
    assert dag == {
        "tasks": [
            "wait_for_snapshot",
            "detect_changes",
            "guard",
            "contact.load_contact_details",
            "contact.conditions",
            "contact.alert",
            "report",
        ],
        "paused": True,
        "catchup": True,
        "owner": "customer-success",
        "tags": ["gold", "segue", "vip"],
        "schedule": "CronDataIntervalTimetable",
    }


def test_where_nothing_is_caught_up_a_dag_begins_with_its_newest_interval(parse, tmp_path):
    """SEGUE_CATCH_UP, for trying out: a start of years ago is not years of runs."""
    file = ROOT / "dags/segue_dags.py"
    dags = parse(file, home=home(tmp_path), SEGUE_CATCH_UP="false")["dags"]
    assert dags["flow_000"]["catchup"] is False


def take(folder: Path, **source: str) -> Path:
    """Let the directory take its own snapshots."""
    path = folder / "directories/people.yaml"
    content = yaml.safe_load(path.read_text())
    content["take"] = {
        "connection": "warehouse",
        "schedule": "30 0 * * *",
        "start": "2026-11-01",
        "tables": {"contacts": source},
    }
    path.write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize(
    ("source", "catches_up"),
    [
        ({"query": "SELECT id FROM people WHERE since < :as_of"}, True),
        ({"table": "people", "knows": "now"}, False),
    ],
)
def test_a_directory_that_takes_its_snapshots_has_a_dag(parse, tmp_path, source, catches_up):
    """What knows only the present has nothing to catch up."""
    found = parse(ROOT / "dags/segue_dags.py", home=take(home(tmp_path), **source))
    assert (found["errors"], HEAVY & set(found["imported"])) == ({}, set())
    assert found["dags"]["segue_take_people"] == {
        "tasks": ["take_snapshot"],
        "paused": True,
        "catchup": catches_up,
        "owner": "segue",
        "tags": ["people", "segue"],
        "schedule": "CronDataIntervalTimetable",
    }


@pytest.mark.parametrize("name", ["flow_042", "segue_release", "segue_take_people"])
def test_a_task_process_builds_only_its_own_dag(parse, tmp_path, name):
    """Of a hundred workflows and Segue's own, the one that Airflow's parsing context names."""
    found = parse(
        ROOT / "dags/segue_dags.py",
        home=take(home(tmp_path, workflows=100), table="people", knows="now"),
        _AIRFLOW_PARSING_CONTEXT_DAG_ID=name,
    )
    assert set(found["dags"]) == {name}


def test_a_broken_definition_is_an_import_error_and_healthy_workflows_stay(parse, tmp_path):
    """The check's DAG file fails with file and line; the other file still has its DAGs."""
    broken = home(tmp_path, workflows=2) / "workflows/flow_001.yaml"
    broken.write_text(broken.read_text().replace("changes:", "chnages:"))
    found = parse(*sorted((ROOT / "dags").glob("segue_*.py")), home=tmp_path)
    assert set(found["dags"]) == {"flow_000", "segue_housekeeping", "segue_release"}
    [error] = found["errors"].values()
    assert "flow_001.yaml:" in error
    assert "unknown key 'chnages'" in error
    assert "did you mean 'changes'?" in error


def airflow(*arguments: str, folder: Path) -> str:
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    }
    command = [str(Path(sys.executable).parent / "airflow"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.airflow
def test_airflow_lists_the_plugin_once(tmp_path):
    """``airflow plugins``: Segue from its entry point."""
    listing = json.loads(airflow("plugins", "--output", "json", folder=tmp_path))
    [source] = [row["source"] for row in listing if row["name"] == "segue"]
    assert "value='segue.plugin:SeguePlugin'" in source


@pytest.mark.airflow
def test_the_plugin_shadows_no_standard_module():
    """Where it is pointed at the sources, ``.airflowignore`` keeps Airflow from scanning them."""
    code = """
import sys, sysconfig
from airflow import plugins_manager as manager
if hasattr(manager, "_get_plugins"):
    plugins, errors = manager._get_plugins()
else:  # Airflow 3.1
    manager.ensure_plugins_loaded()
    plugins, errors = manager.plugins, manager.import_errors
assert not errors, errors
stdlib = sysconfig.get_paths()["stdlib"]
shadowed = [
    name for name in sys.stdlib_module_names
    if "plugins/segue" in (getattr(sys.modules.get(name), "__file__", "") or "")
]
assert not shadowed, shadowed
assert [each.name for each in plugins].count("segue") == 1
heavy = [name for name in ("pandas", "pyarrow", "slack_sdk") if name in sys.modules]
assert not heavy, heavy
print("fine")
"""
    env = {**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("fine"), done.stderr


def test_a_digest_stands_behind_all_branches_and_before_the_report(tmp_path):
    """And behind what it comes after; it is no task of a branch."""
    folder = home(tmp_path)
    path = folder / "workflows/flow_000.yaml"
    data = yaml.safe_load(path.read_text())
    slack = {"channel": "#a", "text": "{{ digest.count }}"}
    data["actions"] += [
        {"id": "tell", "digest": True, "after": "alert", "slack_message": slack},
        {"id": "sum", "digest": True, "after": "tell", "slack_message": slack},
    ]
    path.write_text(yaml.safe_dump(data))
    dag = workflow_dag(Catalog(folder).resolve("flow_000"))
    before = {name: dag.get_task(name).upstream_task_ids for name in ("tell", "sum", "report")}
    assert before["tell"] == {"contact.conditions", "contact.alert"}
    assert before["sum"] == {"contact.conditions", "tell"}
    assert {"tell", "sum", "contact.alert"} <= before["report"]
    assert dag.get_task("tell").trigger_rule == "all_done"
    assert dag.get_task("tell").retries == 28


# ---- tasks among those of others ------------------------------------------------------------


def rewrite(folder: Path, **keys) -> Path:
    """Change keys of the first workflow's definition."""
    path = folder / "workflows/flow_000.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))
    return folder


def built(folder: Path, monkeypatch, **settings: str) -> DAG:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return workflow_dag(Catalog(folder).resolve("flow_000"))


def weights(dag: DAG) -> dict[str, int]:
    """Return what the scheduler orders tasks by, as it computes it of the stored DAG."""
    stored = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    return {task.task_id: task.weight_rule.get_weight(instance(task)) for task in stored.tasks}


def instance(task) -> SimpleNamespace:
    return SimpleNamespace(task=task, priority_weight=task.priority_weight)


def test_a_task_weighs_as_one_whatever_comes_after_it(tmp_path, monkeypatch):
    """A digest and actions in a row as well: by Airflow's own rule the first would weigh 9."""
    slack = {"channel": "#a", "text": "{{ digest.count }}"}
    chain = [
        {"id": f"step_{number}", "slack_message": {"channel": "#a", "text": "hi"}}
        | ({"after": f"step_{number - 1}"} if number else {})
        for number in range(3)
    ]
    actions = [*chain, {"id": "sum", "digest": True, "slack_message": slack}]
    dag = built(rewrite(home(tmp_path), actions=actions), monkeypatch)
    assert set(weights(dag).values()) == {1}
    assert len(weights(dag)) == 10


def test_what_is_due_goes_before_workflows_and_housekeeping_does_not():
    assert set(weights(release_dag()).values()) == {10}
    assert set(weights(housekeeping_dag()).values()) == {1}


def test_a_workflow_says_where_its_tasks_run_and_what_they_weigh(tmp_path, monkeypatch):
    """All of its tasks, the mapped ones as well."""
    keys = {"pool": "mails", "queue": "slow", "priority_weight": 3, "max_active_runs": 2}
    keys |= {"execution_timeout": "45m", "max_active_tis_per_dag": 5, "executor": "a"}
    folder = rewrite(home(tmp_path), airflow=keys)
    dag = built(folder, monkeypatch, SEGUE_POOL="segue", SEGUE_QUEUE="any")
    assert {(task.pool, task.queue) for task in dag.tasks} == {("mails", "slow")}
    assert set(weights(dag).values()) == {3}
    assert dag.max_active_runs == 2
    times = {task.execution_timeout for task in dag.tasks if task.task_id != "guard"}
    assert times == {timedelta(minutes=45)}
    assert dag.get_task("guard").execution_timeout is None  # else the time for an answer
    assert {task.max_active_tis_per_dag for task in dag.tasks} == {5}
    assert {task.executor for task in dag.tasks} == {"a"}


def with_action(folder: Path, **keys) -> Path:
    """Say something of the first action of the first workflow."""
    path = folder / "workflows/flow_000.yaml"
    data = yaml.safe_load(path.read_text())
    data["actions"][0]["airflow"] = keys
    path.write_text(yaml.safe_dump(data))
    return folder


@pytest.mark.parametrize("digest", [False, True])
def test_an_action_goes_before_its_workflow_key_by_key(tmp_path, monkeypatch, digest):
    """Its callbacks are its task's, and those of the workflow the run's."""
    folder = rewrite(home(tmp_path), airflow={"pool": "mails", "queue": "slow"})
    path = folder / "workflows/flow_000.yaml"
    data = yaml.safe_load(path.read_text())
    data["airflow"]["on_success_callback"] = "a.of_the_run"
    data["actions"] = data["actions"][:1]
    data["actions"][0] |= {"id": "tell", "digest": digest}
    path.write_text(yaml.safe_dump(data))
    with_action(folder, queue="quick", priority_weight=9, on_retry_callback=["a.b", "c.d"])
    dag = built(folder, monkeypatch)
    task_id = "tell" if digest else "contact.tell"
    task = dag.get_task(task_id)
    assert (task.pool, task.queue, weights(dag)[task_id]) == ("mails", "quick", 9)
    assert [callback.name for callback in task.on_retry_callback] == ["a.b", "c.d"]
    assert not task.on_success_callback
    assert [callback.name for callback in dag.on_success_callback] == ["a.of_the_run"]
    assert {each.queue for each in dag.tasks if each is not task} == {"slow"}


def test_functions_and_notifiers_hear_of_a_failed_run(tmp_path, monkeypatch):
    notice = {"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", "to": "a@b.c"}
    keys = {"airflow": {"on_failure_callback": "a.b"}, "notify": {"on_failure": notice}}
    dag = built(rewrite(home(tmp_path), **keys), monkeypatch)
    assert [type(each).__name__ for each in dag.on_failure_callback] == [
        "NamedNotifier",
        "NamedCallback",
    ]


POD = {"spec": {"containers": [{"name": "base"}], "nodeSelector": {"disk": "fast"}}}


def test_a_pod_goes_through_airflows_database_as_it_is_written(tmp_path, monkeypatch):
    """An action's stands in the place of its workflow's."""
    folder = rewrite(home(tmp_path), airflow={"executor_config": {"pod_override": POD, "x": "y"}})
    data = DagSerialization.to_dict(built(folder, monkeypatch))
    tasks = DagSerialization.from_dict(data).tasks
    assert {task.executor_config["x"] for task in tasks} == {"y"}
    pods = [task.executor_config["pod_override"] for task in tasks]
    assert {pod.spec.node_selector["disk"] for pod in pods} == {"fast"}


def test_a_pod_that_cannot_be_made_here_costs_its_own_workflow_alone(tmp_path, monkeypatch):
    folder = rewrite(home(tmp_path), airflow={"executor_config": {"pod_override": POD}})
    names = set(Catalog(folder).names("workflows"))
    monkeypatch.setenv("SEGUE_HOME", str(folder))
    assert {dag.dag_id for dag in workflow_dags()} == names
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    assert {dag.dag_id for dag in workflow_dags()} == names - {"flow_000"}
    with pytest.raises(DefinitionError, match="pip install apache-airflow-providers-cncf-kubern"):
        check_definitions()


def test_the_settings_count_where_a_workflow_says_nothing(tmp_path, monkeypatch):
    """And for Segue's own DAGs; without them, Airflow's defaults do."""
    dag = built(home(tmp_path), monkeypatch)
    assert {(task.pool, task.queue) for task in dag.tasks} == {("default_pool", "default")}
    dag = built(home(tmp_path), monkeypatch, SEGUE_POOL="segue", SEGUE_QUEUE="any")
    dags = [dag, release_dag(), housekeeping_dag()]
    places = {(task.pool, task.queue) for each in dags for task in each.tasks}
    assert places == {("segue", "any")}


def test_a_dag_that_is_parsed_again_is_no_new_version(tmp_path, monkeypatch):
    """Airflow keeps a version per difference: where the definitions lie is none."""
    keys = {"executor_config": {"pod_override": POD}, "on_failure_callback": "a.b"}
    rewrite(home(tmp_path / "a"), airflow=keys)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, again, moved = (
        built(tmp_path / name, monkeypatch, SEGUE_POOL="segue") for name in ("a", "a", "b")
    )
    hashes = {
        SerializedDagModel.hash(DagSerialization.to_dict(dag)) for dag in (first, again, moved)
    }
    assert len(hashes) == 1


# ---- before anything is set up, and definitions beside the DAG file --------------------------


def own_files(folder: Path) -> list[Path]:
    """Copy the four files into a DAGs folder, as a team does."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(path, folder)) for path in sorted((ROOT / "dags").glob("segue_*.py"))]


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """An Airflow of somebody's, of which nothing is set: its home."""
    for name in [name for name in os.environ if name.startswith("SEGUE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    return tmp_path / "airflow"


def test_files_that_are_copied_before_anything_is_set_are_no_error(parse_installed, installed):
    found = parse_installed(*own_files(installed / "dags"))
    assert found["errors"] == {}
    assert set(found["dags"]) == {"segue_housekeeping", "segue_release"}


@pytest.mark.parametrize("setting", ["SEGUE_LEDGER", "SEGUE_HOME", "SEGUE_NAMESPACE"])
def test_once_something_is_set_missing_definitions_are_one(parse_installed, installed, setting):
    """Nobody would notice a folder that went away."""
    value = {"SEGUE_NAMESPACE": "prod"}.get(setting, f"sqlite:///{installed}/x.db")
    [error] = parse_installed(*own_files(installed / "dags"), **{setting: value})["errors"].values()
    assert "is not a folder; SEGUE_HOME names the folder" in error


def test_a_ledger_that_is_there_is_something_set_up(parse_installed, installed):
    installed.mkdir()
    (installed / "segue.db").touch()
    [error] = parse_installed(*own_files(installed / "dags"))["errors"].values()
    assert "is not a folder" in error


@pytest.mark.parametrize("beside", ["dags/include", "include"])
def test_definitions_beside_the_dag_file_are_its_own(parse_installed, installed, beside):
    """Of a DAG bundle, its own version of them, whatever Airflow's home has."""
    home(installed / "include", workflows=3)
    bundle = installed / "bundles/team/versions/0a1b"
    home(bundle / beside, workflows=1)
    assert set(parse_installed(*own_files(bundle / "dags"))["dags"]) == {
        "flow_000",
        "segue_housekeeping",
        "segue_release",
    }


def test_segue_home_goes_before_what_is_beside_the_dag_file(parse_installed, installed, tmp_path):
    home(installed / "bundle/include", workflows=1)
    other = home(tmp_path / "other", workflows=2)
    dags = set(parse_installed(*own_files(installed / "bundle/dags"), home=other)["dags"])
    assert {"flow_000", "flow_001"} <= dags


# ---- several projects in one Airflow ----------------------------------------------------------


def project_file(folder: Path, name: str) -> Path:
    """The DAG file of a project, in its bundle."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_dags.py"
    path.write_text(
        '"""Airflow DAGs of a project."""\n'
        "from segue.dag_builder import all_dags, check_definitions\n\n"
        f'globals().update(all_dags(__file__, project="{name}"))\n'
        f'check_definitions(__file__, project="{name}")\n'
    )
    return path


def test_each_project_has_its_own_workflows_and_its_own_release(parse_installed, installed):
    """Whatever SEGUE_HOME says, which is the one that has no name."""
    unnamed = home(installed / "include", workflows=1)
    for name in ("growth", "sales"):
        other = home(installed / f"bundles/{name}/include", workflows=1)
        file = other / "workflows/flow_000.yaml"
        file.write_text(file.read_text().replace("flow_000", f"{name}_flow"))
        file.rename(file.with_name(f"{name}_flow.yaml"))
    growth, sales = (
        project_file(installed / f"bundles/{name}/dags", name) for name in ("growth", "sales")
    )
    own = own_files(installed / "dags")
    found = parse_installed(*own, growth, sales, home=unnamed)
    assert found["errors"] == {}
    assert set(found["dags"]) == {
        *("flow_000", "segue_release", "segue_housekeeping"),
        *("growth_flow", "segue_release_growth", "segue_housekeeping_growth"),
        *("sales_flow", "segue_release_sales", "segue_housekeeping_sales"),
    }
    assert found["dags"]["growth_flow"]["tags"] == ["gold", "growth", "segue", "vip"]


def test_a_task_process_of_a_project_builds_only_its_own_dag(parse_installed, installed):
    home(installed / "bundles/growth/include", workflows=3)
    file = project_file(installed / "bundles/growth/dags", "growth")
    for name in ("flow_001", "segue_release_growth"):
        found = parse_installed(file, _AIRFLOW_PARSING_CONTEXT_DAG_ID=name)
        assert set(found["dags"]) == {name}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("growth", "the project 'growth' has no definitions; expected the folder .*/dags/include"),
        ("Growth!", "is 'Growth!'; allowed: up to 31 lower-case letters"),
    ],
)
def test_a_project_without_definitions_or_with_no_name_is_an_import_error(
    parse_installed, installed, name, message
):
    """Never the definitions of somebody else, which would be DAGs of two files."""
    unnamed = home(installed / "other", workflows=1)
    if name != "growth":
        home(installed / "bundle/include", workflows=1)
    file = project_file(installed / "bundle/dags", name)
    found = parse_installed(file, home=unnamed)
    assert found["dags"] == {}
    assert re.search(message, found["errors"][file.name])


def test_the_setting_names_the_project_of_segue_home(parse_installed, installed):
    """As of an Airflow that runs one project of several, on its own."""
    own = home(installed / "own", workflows=1)
    dags = own_files(installed / "dags")
    names = set(parse_installed(*dags, home=own, SEGUE_PROJECT="growth")["dags"])
    assert names == {"flow_000", "segue_release_growth", "segue_housekeeping_growth"}
