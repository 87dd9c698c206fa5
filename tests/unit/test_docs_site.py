"""The site of the pages: everything is in its navigation. `make docs` itself follows each link."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from segue.settings import OPTIONS, variable

ROOT = Path(__file__).parents[2]
AT_THE_TOP = {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}


def pages_in(navigation: list[dict[str, Any]]) -> list[str]:
    """Return the files of a navigation, however deep."""
    entries = [target for item in navigation for target in item.values()]
    return [
        page
        for entry in entries
        for page in (pages_in(entry) if isinstance(entry, list) else [entry])
    ]


def test_every_page_is_in_the_navigation_once():
    site = tomllib.loads((ROOT / "zensical.toml").read_text())
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}
    assert sorted(pages_in(site["project"]["nav"])) == sorted(pages | AT_THE_TOP)


def test_the_values_for_kubernetes_set_what_segue_reads():
    [values] = re.findall(
        r"(?ms)^```yaml\n(.*?)^```", (ROOT / "docs" / "kubernetes.md").read_text()
    )
    data = YAML(typ="safe").load(values)
    names = {item["name"] for item in data["env"]}
    names |= {item["envName"] for item in data["secret"]}
    own = {name for name in names if name.startswith("SEGUE_")}
    assert own
    assert own <= {variable(option) for option in OPTIONS}
    assert {"SEGUE_LEDGER", "SEGUE_SECRET"} <= {item["envName"] for item in data["secret"]}
