"""What a workflow and its actions say to Airflow, and what it may not be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes.client import V1Pod

from segue.errors import DefinitionError
from segue.workflows.callbacks import NamedCallback, callback_problem
from segue.workflows.catalog import Catalog
from segue.workflows.pods import NoKubernetes, pod_of, pod_problems
from segue.workflows.validation import find_problems
from tests.unit.test_dags import home

CONTAINER = {"name": "base", "resources": {"requests": {"memory": "2Gi"}}}
POD = {"metadata": {"labels": {"team": "growth"}}, "spec": {"containers": [CONTAINER]}}


def problems(tmp_path: Path, action: dict | None = None, **airflow: object) -> list[str]:
    """Return what is wrong with a workflow's ``airflow``, or with that of its first action."""
    folder = home(tmp_path)
    path = folder / "workflows/flow_000.yaml"
    data = yaml.safe_load(path.read_text())
    if action is not None:
        data["actions"][0]["airflow"] = action
    else:
        data["airflow"] = airflow
    path.write_text(yaml.safe_dump(data))
    return [f"{problem.path}: {problem.message}" for problem in find_problems(Catalog(folder))]


def test_what_airflow_takes_is_no_problem(tmp_path):
    ours = {
        "pool": "mails",
        "queue": "slow",
        "executor": "KubernetesExecutor",
        "executor_config": {"pod_override": POD},
        "priority_weight": 3,
        "execution_timeout": "45m",
        "max_active_tis_per_dag": 2,
        "on_failure_callback": "logging.warning",
        "on_success_callback": ["logging.info", "logging.debug"],
    }
    assert problems(tmp_path, max_active_runs=1, **ours) == []
    assert problems(tmp_path / "b", action={**ours, "on_retry_callback": "logging.info"}) == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pool": ""}, "at least 1"),
        ({"queue": 7}, "airflow.queue: expected a valid string, found 7"),
        ({"pool": " a"}, "airflow.pool: found ' a'; allowed: a name without blanks around it"),
        ({"priority_weight": 0}, "greater than or equal to 1"),
        ({"priority_weight": "high"}, "expected a valid integer, found 'high'"),
        ({"priority_weight": 1001}, "less than or equal to 1000"),
        ({"max_active_runs": 0}, "greater than or equal to 1"),
        ({"execution_timeout": "soon"}, "a whole number and a unit"),
        ({"execution_timeout": "0m"}, "found 0m; allowed: a time of 1s or more"),
        ({"executor_config": {"pod_override": []}}, "pod_override is []; allowed: a mapping"),
        ({"on_failure_callback": "page"}, "a function such as my_package.alerts.page"),
        ({"on_retry_callback": "logging.info"}, "a run is neither retried nor skipped"),
        ({"pools": "a"}, "unknown key 'pools'; allowed: pool, queue, executor"),
    ],
)
def test_what_cannot_be_is_an_error_at_its_key(tmp_path, keys, message):
    [problem] = problems(tmp_path, **keys)
    assert problem.startswith("airflow")
    assert message in problem


def test_a_task_has_no_runs(tmp_path):
    [problem] = problems(tmp_path, action={"max_active_runs": 1})
    assert problem.startswith("actions[0].airflow.max_active_runs: ")
    assert "write it below the workflow's own `airflow`" in problem


@pytest.mark.parametrize("key", ["pool", "queue", "priority_weight", "on_failure_callback"])
def test_a_key_that_stands_in_the_workflow_itself_is_told_where_it_belongs(tmp_path, key):
    folder = home(tmp_path)
    path = folder / "workflows/flow_000.yaml"
    path.write_text(path.read_text() + f"{key}: 3\n")
    [problem] = find_problems(Catalog(folder))
    assert (problem.path, problem.line) == (key, len(path.read_text().splitlines()))
    assert f"it stands below `airflow`: `airflow: {{{key}: …}}`" in problem.message


def test_a_key_that_stands_in_an_action_itself_is_told_where_it_belongs(tmp_path):
    folder = home(tmp_path)
    path = folder / "workflows/flow_000.yaml"
    data = yaml.safe_load(path.read_text())
    data["actions"][0]["queue"] = "slow"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(DefinitionError, match="queue: it stands below `airflow`"):
        Catalog(folder).resolve("flow_000")


# ---- callbacks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package.page", "no_such_package.page: No module named 'no_such_package'"),
        ("logging.wanring", "logging has no function 'wanring'"),
        ("logging.Logger", "it is a class"),
        ("logging.INFO", "it is no function, but int"),
    ],
)
def test_a_callback_that_nobody_could_call_is_a_problem(tmp_path, name, message):
    assert message in str(callback_problem(name))
    [problem] = problems(tmp_path, on_failure_callback=["logging.info", name])
    assert problem.startswith("airflow.on_failure_callback[1]: ")
    assert message in problem


def test_a_module_that_fails_is_a_problem_and_ends_nothing(tmp_path, monkeypatch):
    (tmp_path / "broken_alerts.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert callback_problem("broken_alerts.page") == "broken_alerts.page: division by zero"


def test_a_function_is_imported_when_it_is_called_and_not_before(tmp_path, monkeypatch):
    (tmp_path / "lazy_alerts.py").write_text("calls = []\ndef page(context): calls.append(context)")
    monkeypatch.syspath_prepend(tmp_path)
    callback = NamedCallback("lazy_alerts.page")
    assert "lazy_alerts" not in sys.modules
    callback({"run": 1})
    assert sys.modules["lazy_alerts"].calls == [{"run": 1}]


# ---- a pod --------------------------------------------------------------------------------------


def test_a_pod_is_what_its_manifest_says():
    pod = pod_of({"spec": {"containers": [CONTAINER], "serviceAccountName": "segue"}})
    assert isinstance(pod, V1Pod)
    assert pod.spec.service_account_name == "segue"
    assert pod.spec.containers[0].resources.requests == {"memory": "2Gi"}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"service_account_name": "x"}, "did you mean 'serviceAccountName'?"),
        ({"nodeSelektor": {}}, "PodSpec has no 'nodeSelektor'; did you mean 'nodeSelector'?"),
        ({"tolerations": {"key": "a"}}, "expected a list, found {'key': 'a'}"),
        ({"nodeSelector": {"gpu": True}}, "expected a text, found True; write it in quotes"),
        ({"priority": "1"}, "expected a whole number, found '1'"),
        ({"hostNetwork": 1}, "expected true or false, found 1"),
        ({"containers": [{"image": "x"}]}, "`name`"),
        ({"containers": None}, "`containers`"),
    ],
)
def test_what_a_pod_does_not_have_is_a_problem(tmp_path, part, message):
    """The client of Kubernetes would pass over most of it."""
    manifest = {"spec": {"containers": [CONTAINER], **part}}
    [(_, text)] = pod_problems(manifest)
    assert message in text
    [problem] = problems(tmp_path, executor_config={"pod_override": manifest})
    assert problem.startswith("airflow.executor_config.pod_override")
    assert message in problem


def test_without_the_client_of_kubernetes_a_pod_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    [(place, message)] = pod_problems(POD)
    assert place == ()
    assert "pip install apache-airflow-providers-cncf-kubernetes" in message
    with pytest.raises(NoKubernetes):
        pod_of(POD)
    [problem] = problems(tmp_path, executor_config={"pod_override": POD})
    assert message in problem


def test_reading_definitions_imports_no_callback_and_no_client_of_kubernetes(tmp_path):
    folder = home(tmp_path)
    path = folder / "workflows/flow_000.yaml"
    keys = {"on_failure_callback": "antigravity.fly", "executor_config": {"pod_override": POD}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "airflow": keys}))
    code = (
        "import sys; from pathlib import Path; from segue.workflows.catalog import Catalog; "
        f"Catalog(Path({str(folder)!r})).resolve('flow_000'); "
        "print({'antigravity', 'kubernetes'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
