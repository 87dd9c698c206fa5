"""What ``segue doctor`` looks at: each look yields a line, and what to do about it."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from segue.airflow_compat import question_needs_triggerer
from segue.cli.airflow_here import has_triggerer, paused_dags, pool_names
from segue.cli.output import count
from segue.errors import DataError, DefinitionError, SegueError
from segue.extras import storage_path
from segue.settings import OPTIONS, SECTION, Settings, dag_id_of, is_set, variable
from segue.workflows.catalog import catalog_of

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition

PACKAGE = "airflow-segue"


class Verdict(StrEnum):
    """What a check came to."""

    OK = "ok"
    REMARK = "remark"  # it works, and somebody should know
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's: what was looked at, what is the matter, what to do about it."""

    check: str
    result: Verdict
    detail: str
    remedy: str = ""


def examine(settings: Settings) -> list[Check]:
    """Return what every look came to, in a fixed order."""
    return [check for look in _LOOKS for check in _looked(look, settings)]


def _looked(look: Callable[[Settings], Iterator[Check]], settings: Settings) -> list[Check]:
    """Return a look's checks; an error that Segue foresees is one, so that the others go on."""
    subject = look.__name__.strip("_").replace("_", " ")
    try:
        return list(look(settings))
    except SegueError as error:
        return [Check(subject, Verdict.FAILED, str(error))]


def _versions(settings: Settings) -> Iterator[Check]:  # noqa: ARG001 - as all looks
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(text) for text in metadata.requires(PACKAGE) or ()]
    except metadata.PackageNotFoundError:
        detail = f"the package {PACKAGE} is not installed; its files are in {_package_folder()}"
        yield Check("versions", Verdict.FAILED, detail, f"pip install {PACKAGE}")
        return
    here = {each.name: each for each in requirements if not each.marker or each.marker.evaluate()}
    unmet = [text for each in here.values() if (text := _unmet(each))]
    airflow = metadata.version("apache-airflow-core")
    present = f"Segue {metadata.version(PACKAGE)}, Airflow {airflow}, {_python()}"
    if unmet:
        yield Check("versions", Verdict.FAILED, f"{present}; {'; '.join(unmet)}", "pip check")
    else:
        yield Check("versions", Verdict.OK, present)


def _unmet(requirement: Requirement) -> str:
    """Say what is missing of a requirement; nothing where it is met."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement} is needed, {version} is installed"


def _python() -> str:
    return f"Python {platform.python_version()}"


def _package_folder() -> Path:
    return Path(__file__).resolve().parents[1]


def _plugin(settings: Settings) -> Iterator[Check]:  # noqa: ARG001 - as all looks
    """The entry point, and no copy in the plugins folder beside it."""
    from airflow.configuration import conf

    folder = Path(conf.get("core", "plugins_folder"))
    copies = [folder / name for name in ("segue", "segue_plugin.py") if (folder / name).exists()]
    points = metadata.entry_points(group="airflow.plugins", name="segue")
    if copies and _package_folder() not in copies:
        detail = f"also in the plugins folder: {', '.join(map(str, copies))}"
        remedy = "delete them: Airflow finds the installed package without, and twice drops others"
        yield Check("plugin", Verdict.FAILED, detail, remedy)
    elif not points:
        detail = "no entry point airflow.plugins: Airflow has no pages of Segue's"
        yield Check("plugin", Verdict.FAILED, detail, f"pip install --force-reinstall {PACKAGE}")
    else:
        yield Check("plugin", Verdict.OK, f"found by its entry point, in {_package_folder()}")


def _settings(settings: Settings) -> Iterator[Check]:  # noqa: ARG001 - as all looks
    names = [variable(name) for name in OPTIONS if is_set(name, os.environ)]
    detail = f"set: {', '.join(names)}" if names else "none is set: all defaults"
    remedy = "the same in each of Airflow's processes and here" if names else ""
    yield Check("settings", Verdict.OK, detail, remedy)
    unread = sorted({*_unread_variables(), *_unread_options()})
    if unread:
        detail = f"nothing reads {', '.join(unread)}"
        remedy = f"allowed: {', '.join(map(variable, OPTIONS))}"
        yield Check("settings", Verdict.REMARK, detail, remedy)


def _unread_variables() -> set[str]:
    """Return the environment's variables that look like settings and are none."""
    prefixes = ("SEGUE_", f"AIRFLOW__{SECTION}__".upper())
    ours = {name for name in os.environ if name.startswith(prefixes)}
    options = {f"{prefixes[1]}{name}".upper() for name in _option_names()}
    return {
        name
        for name in ours.difference(map(variable, OPTIONS), options)
        if not name.startswith("SEGUE_TEST_")
    }


def _unread_options() -> set[str]:
    """Return the keys of airflow.cfg's section that are no options."""
    from airflow.configuration import conf

    section = conf.getsection(SECTION) or {}
    variables = _unread_variables()  # Airflow counts those of the environment among them
    return {
        f"[{SECTION}] {name}"
        for name in section.keys() - _option_names()
        if f"AIRFLOW__{SECTION}__{name}".upper() not in variables
    }


def _option_names() -> set[str]:
    """Return the options, and where their values may come from: ``ledger_cmd`` and the like."""
    return {f"{name}{source}" for name in OPTIONS for source in ("", "_cmd", "_secret")}


def _definitions(settings: Settings) -> Iterator[Check]:
    from segue.workflows.validation import find_problems

    if not settings.home.is_dir():
        detail = f"{settings.home} is not a folder"
        yield Check("definitions", Verdict.FAILED, detail, "segue init, or set SEGUE_HOME")
        return
    catalog = catalog_of(settings)
    problems = find_problems(catalog)
    names = catalog.names("workflows")
    where = f"{settings.home}{f', profile {settings.profile}' if settings.profile else ''}"
    if problems:
        detail = f"{count(len(problems), 'problem')} in {where}"
        yield Check("definitions", Verdict.FAILED, detail, "segue validate")
    elif not names:
        detail = f"no workflow in {where}"
        yield Check("definitions", Verdict.REMARK, detail, "segue init, or write one")
    else:
        yield Check("definitions", Verdict.OK, f"{count(len(names), 'workflow')} in {where}")


def _snapshots(settings: Settings) -> Iterator[Check]:
    """Each directory whose definition is sound has a complete snapshot."""
    from segue.cli.workspace import Workspace

    if not settings.home.is_dir():
        return
    workspace = Workspace(settings, datetime.now(UTC))
    for name in workspace.catalog.names("directories"):
        try:
            directory = workspace.catalog.directory(name)
            yield _newest_snapshot(workspace, directory)
        except DefinitionError:
            continue  # told among the definitions
        except DataError as error:
            yield Check("snapshots", Verdict.FAILED, str(error), f"segue snapshots {name}")


def _newest_snapshot(workspace: Workspace, directory: DirectoryDefinition) -> Check:
    from segue.directory.snapshots import list_snapshots

    name = directory.directory
    complete = [each for each in list_snapshots(directory, now=workspace.now) if each.complete]
    if complete:
        return Check("snapshots", Verdict.OK, f"the newest of {name} is {complete[-1].key}")
    lack = workspace.why_none(directory)
    return Check("snapshots", Verdict.REMARK, lack, f"segue snapshots {name}")


def _airflow_dags(settings: Settings) -> Iterator[Check]:
    """Airflow has the DAGs, and ``segue_release`` is on."""
    dags, release = paused_dags(), dag_id_of("release", settings.project)
    if dags is None:
        detail = "Airflow's own database cannot be asked from here"
        remedy = "airflow db migrate where it is new; else look with: airflow dags list"
        yield Check("DAGs", Verdict.REMARK, detail, remedy)
        return
    missing = sorted({release, *_workflow_names(settings)} - dags.keys())
    if missing:
        detail = f"Airflow does not know: {', '.join(missing)}"
        remedy = (
            "segue init writes the DAG files; airflow dags list-import-errors; a new file is "
            "seen within five minutes"
        )
        yield Check("DAGs", Verdict.FAILED, detail, remedy)
    else:
        off = [name for name in _workflow_names(settings) if dags[name]]
        detail = f"Airflow has {release} and every workflow"
        if off:
            detail += f"; paused: {', '.join(off)}"
            remedy = f"airflow dags unpause {off[0]}"
            yield Check("DAGs", Verdict.REMARK, detail, remedy)
        else:
            yield Check("DAGs", Verdict.OK, detail)
    if dags.get(release):
        detail = "paused: what is held, or was asked for, waits"
        yield Check(release, Verdict.FAILED, detail, f"airflow dags unpause {release}")


def _triggerer(settings: Settings) -> Iterator[Check]:
    """Somebody hears a guard's answer and watches for snapshots, where that is a triggerer's."""
    asks, names = question_needs_triggerer(), list(_deferring(settings))
    if not (asks or names) or has_triggerer() is not False:
        return
    if asks:
        detail = "none runs: with this Airflow it alone hears the answer to a guard's question"
        remedy = "airflow triggerer; or Airflow 3.3 and apache-airflow-providers-standard 1.16"
        yield Check("triggerer", Verdict.FAILED, detail, remedy)
    if names:
        detail = f"none runs, and it watches for the snapshots of {', '.join(names)}: runs wait on"
        remedy = "airflow triggerer; or `airflow: {deferrable: false}` in the workflow"
        yield Check("triggerer", Verdict.REMARK, f"{detail}, up to a quarter of an hour", remedy)


def _deferring(settings: Settings) -> Iterator[str]:
    """Yield the workflows whose runs wait in the triggerer; what is wrong is told elsewhere."""
    from segue.sensors.wait_for_snapshot import waits_in_triggerer

    catalog = catalog_of(settings)
    for name in _workflow_names(settings):
        with suppress(DefinitionError):
            if waits_in_triggerer(catalog.workflow(name)):
                yield name


def _pools(settings: Settings) -> Iterator[Check]:
    """Airflow has the pools that definitions and settings name: without one a task never begins."""
    names = {name for name in (settings.pool, *_pools_of_workflows(settings)) if name}
    present = pool_names() if names else None
    for name in sorted(names - present) if present is not None else ():
        detail = f"Airflow has no pool {name!r}: tasks that are to run in it wait for ever"
        yield Check("pools", Verdict.FAILED, detail, f"airflow pools set {name} 4 'of Segue'")


def _pools_of_workflows(settings: Settings) -> Iterator[str | None]:
    catalog = catalog_of(settings)
    for name in _workflow_names(settings):
        with suppress(DefinitionError):
            workflow = catalog.workflow(name)
            yield workflow.airflow.pool
            yield from (action.airflow.pool for action in workflow.actions)


def _workflow_names(settings: Settings) -> list[str]:
    return catalog_of(settings).names("workflows") if settings.home.is_dir() else []


def _ledger(settings: Settings) -> Iterator[Check]:
    """It is there, of this version, with this host's time."""
    from segue.cli.workspace import ledger_url
    from segue.ledger import Ledger
    from segue.ledger.engine import missing_file, shown
    from segue.operators.environment import refuse_another_time, refuse_local_files_on_many_hosts

    url = ledger_url(settings)
    refuse_local_files_on_many_hosts(url, settings.state)
    missing = missing_file(url)
    if missing is not None:
        detail = f"there is none at {missing} yet"
        yield Check("ledger", Verdict.REMARK, detail, "the first run makes it; or segue db upgrade")
        return
    ledger = Ledger.open(url, settings.namespace, settings.secret)
    try:
        refuse_another_time(ledger.clock_ahead(lambda: datetime.now(UTC)))
        others, owners = ledger.runs.foreign_namespaces(), ledger.runs.owners()
        where = f"{shown(ledger.engine)}, namespace {settings.namespace}"
    finally:
        ledger.engine.dispose()
    if others and settings.new_namespace != settings.namespace:
        detail = f"{where} has no run in it; others have: {', '.join(others)}"
        yield Check("ledger", Verdict.FAILED, detail, "set SEGUE_NAMESPACE, or SEGUE_NEW_NAMESPACE")
    else:
        yield Check("ledger", Verdict.OK, where)
        yield Check("clock", Verdict.OK, "this host's is the database's")
    yield from _projects(settings, owners)


def _projects(settings: Settings, owners: Mapping[str, str]) -> Iterator[Check]:
    """No workflow that is defined here is another project's."""
    theirs = [
        f"{name} is the project {owners[name]}'s"
        for name in _workflow_names(settings)
        if owners.get(name, "") not in ("", settings.project)
    ]
    if theirs:
        detail = f"defined here as well: {', '.join(theirs)}; its runs fail here"
        remedy = "rename it here; or, if it was moved: segue projects move WORKFLOW --to PROJECT"
        yield Check("projects", Verdict.FAILED, detail, remedy)


def _state(settings: Settings) -> Iterator[Check]:
    """A file can be written below SEGUE_STATE, and deleted."""
    probe = storage_path(settings.state) / f".doctor-{uuid.uuid4().hex}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except Exception as error:  # noqa: BLE001 - each kind of storage has errors of its own
        detail = f"{settings.state} cannot be written: {type(error).__name__}: {error}"
        yield Check("state", Verdict.FAILED, detail, "set SEGUE_STATE")
    else:
        yield Check("state", Verdict.OK, settings.state)


def _connections(settings: Settings) -> Iterator[Check]:
    names: set[str] = set()
    for workflow in _workflow_names(settings):
        try:
            resolved = catalog_of(settings).resolve(workflow)
        except DefinitionError:
            continue  # told among the definitions
        names |= {channel.connection for channel in resolved.channels.values()}
        names |= {resolved.live.connection} if resolved.live else set()
    if names:
        detail = f"used: {', '.join(sorted(names))}; only Airflow's tasks can try them"
        yield Check("connections", Verdict.REMARK, detail, "segue check-connections")


_LOOKS = (
    *(_versions, _plugin, _settings, _definitions, _snapshots, _airflow_dags),
    *(_pools, _triggerer, _ledger, _state, _connections),
)
