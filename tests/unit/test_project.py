"""Facts about the repository itself that no other test would miss before a user does."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from segue.documents import parse_document
from tests.unit.channels.published import DESCRIPTIONS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
IMAGE_LOCK = (ROOT / "docker/requirements.lock").read_text()
LOCKED_EXTRAS = ("postgres", "sandbox")
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = [
    *("help", "install", "demo", "up", "test", "test-full", "torture", "coverage", "check"),
    *("fix", "matrix", "celery", "bench", "screenshots", "docs", "sandbox", "lock", "clean"),
]


def locked() -> dict[str, Version]:
    pairs = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", LOCK, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def group(name: str) -> list[Requirement]:
    """Return a dependency group's requirements, those of the groups it includes too."""
    found: list[Requirement] = []
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, dict):
            found += group(entry["include-group"])
        else:
            found.append(Requirement(entry))
    return found


def needed_by_runs() -> list[Requirement]:
    """Return what is required with the extras that are locked; each storage has its own client."""
    project = PROJECT["project"]
    extras = [text for name in LOCKED_EXTRAS for text in project["optional-dependencies"][name]]
    return [Requirement(text) for text in (*project["dependencies"], *extras)]


def required() -> list[Requirement]:
    return needed_by_runs() + group("dev")


def lock_entries() -> list[str]:
    """Return one text per locked package, its hashes included."""
    lines = [line for line in LOCK.splitlines() if not line.lstrip().startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines).strip())


def test_every_locked_package_has_an_exact_version_and_a_hash():
    incomplete = [
        entry.splitlines()[0]
        for entry in lock_entries()
        if not re.match(r"[A-Za-z0-9._\[\],-]+==\S+", entry) or "--hash=sha256:" not in entry
    ]
    assert incomplete == []
    assert len(lock_entries()) > 100


def test_the_lock_of_the_image_has_what_runs_need_and_nothing_else():
    """The same versions, with their hashes; no test, linter or benchmark."""
    image, everything = entries(IMAGE_LOCK), entries(LOCK)
    assert image.items() <= everything.items(), "run `make lock`"
    needed = [*needed_by_runs(), *group("image")]
    assert {canonicalize_name(item.name) for item in needed} <= image.keys(), "run `make lock`"
    assert not image.keys() & {"duckdb", "hypothesis", "matplotlib", "mypy", "polars", "pytest"}


def entries(lock: str) -> dict[str, str]:
    """Return the entry of each package of a lock by its name."""
    lines = "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#"))
    each = re.split(r"\n(?=\S)", lines.strip())
    return {canonicalize_name(re.split(r"[\[=]", entry)[0]): entry for entry in each}


def test_the_lock_names_no_host():
    assert (
        re.findall(r"\w+://\S+|--(?:extra-)?index-url|--find-links|^-f\b", LOCK + IMAGE_LOCK) == []
    )


@pytest.mark.parametrize("requirement", required(), ids=str)
def test_the_lock_satisfies_the_project(requirement):
    version = locked().get(canonicalize_name(requirement.name))
    assert version is not None, "run `make lock`"
    assert requirement.specifier.contains(version, prereleases=True), "run `make lock`"


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_the_target(target):
    assert re.search(rf"^{target}:.*  ## \S", MAKEFILE, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert target in phony[1].split()


def test_make_alone_lists_every_target():
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    run = subprocess.run(
        ["make"], cwd=ROOT, env=outside, capture_output=True, text=True, check=True
    )
    listed = re.findall(r"^\W*(?:\[1m)?([a-z-]+)", run.stdout, re.MULTILINE)
    assert listed == TARGETS


def test_make_install_says_which_python_it_needs(tmp_path):
    """A machine with an old Python gets a sentence, not a traceback."""
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    names = ("python3.13", "python3.12", "python3.11")
    for name in names:
        (tmp_path / name).symlink_to(old)
    run = subprocess.run(
        ["make", "install"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "Segue needs Python 3.11 or newer" in run.stderr
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_what_a_developer_runs():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text()
    assert "make check" in text
    assert "make test" in text
    assert "SEGUE_TEST_REQUIRE_SERVICES=1" in text


def test_ci_has_prism_and_every_description_that_it_judges_by():
    assert ".ci/judges" in (ROOT / ".ci" / "run").read_text()
    script = ROOT / ".ci" / "judges"
    assert script.stat().st_mode & 0o111
    files = re.search(r"package/api/{(.+)}\.json", script.read_text())
    assert files is not None
    assert {f"{name}.json" for name in files[1].split(",")} == {one.file for one in DESCRIPTIONS}


def test_the_ci_service_runs_the_script_with_the_services_that_it_requires():
    text = (ROOT / ".github" / "workflows" / "ci.yaml").read_text()
    [job] = parse_document(text, "ci.yaml").data["jobs"].values()
    runs = [step.get("run", "") for step in job["steps"]]
    assert runs[-1] == ".ci/run"
    assert all(name in "".join(runs) for name in ("pgbouncer", "postfix", "nginx"))
    assert set(job["services"]) == {"mariadb", "postgres"}
    assert {"SEGUE_TEST_POSTGRESQL", "SEGUE_TEST_CHROMIUM"} <= set(job["env"])


def test_the_license_is_the_declared_one():
    assert PROJECT["project"]["license"] == "Apache-2.0"
    license_text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in license_text
    assert "END OF TERMS AND CONDITIONS" in license_text


def test_the_generated_sample_is_not_committed():
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {"include/sample/", ".venv/", ".airflow/"} <= set(ignored)
