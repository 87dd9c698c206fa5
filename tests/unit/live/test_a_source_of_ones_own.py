"""The live source of docs/live-details.md: installed as a package would be, and looked up in."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue import installed as installed_packages
from segue.contacts.live_look_up import Desk, look_up
from segue.contracts.live_source import source_class, source_names
from segue.documents import parse_document
from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems
from tests.unit.channels.support import http, vendor

PAGE = (Path(__file__).parents[3] / "docs" / "live-details.md").read_text()
SECTION = PAGE.split("## A source of your own")[1]
LOAD = parse_document(re.findall(r"`(load: .+)`", SECTION)[0], "page").data["load"]


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(text)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's module and its entry point, as an installed distribution."""
    points = tomllib.loads(block("toml"))["project"]["entry-points"]["segue.live_sources"]
    information = tmp_path / "site" / "shop_details-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    lines = ["[segue.live_sources]", *(f"{name} = {value}" for name, value in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines))
    (information.parent / "shop_details.py").write_text(block("python"))
    monkeypatch.syspath_prepend(information.parent)
    installed_packages.installed.cache_clear()
    yield
    installed_packages.installed.cache_clear()
    sys.modules.pop("shop_details", None)


def test_it_is_a_source_like_the_others(installed, tmp_path):
    """``segue validate`` knows the fields that it gives, and what it must be told."""
    assert "shop" in source_names()
    for folder in ("directories", "segments", "workflows"):
        (tmp_path / folder).mkdir()
    (tmp_path / "directories/d.yaml").write_text("directory: d\nsnapshots: .\n")
    segment = "segment: s\ndirectory: d\nmatch: {field: a, equals: b}\n"
    (tmp_path / "segments/s.yaml").write_text(segment)
    action = "{id: a, slack_message: {channel: '#a', text: '{{ contact.plan }}'}}"
    for name, fields in (("good", "{plan: subscription}"), ("bad", "7")):
        (tmp_path / f"workflows/{name}.yaml").write_text(
            f"workflow: {name}\nsegment: s\nchanges: [added]\nstart: 2026-11-01\n"
            f"load: {{shop: {{fields: {fields}}}}}\nactions: [{action}]\n"
        )
    problems = find_problems(Catalog(tmp_path), {"d": {"contacts": ["contact_id", "a"]}})
    assert [(Path(item.file).stem, item.path) for item in problems] == [("bad", "load.shop.fields")]


@pytest.mark.parametrize(
    ("items", "plans"),
    [
        ('[{"external_id": "c1", "subscription": "gold"}]', {"c1": "gold"}),
        ('[{"external_id": "c2", "subscription": "gold"}]', {}),
        ("[]", {}),
    ],
)
def test_contacts_are_looked_up_in_it(installed, ledger, set_connection, items, plans):
    source = source_class("shop").model_validate(LOAD["shop"])
    with vendor(http("200 OK", f'{{"items": {items}}}')) as url:
        set_connection("shop_default", conn_type="http", host=url)
        answers = look_up(source, {"c1": {}}, Desk(ledger))
    assert {contact_id: answer["plan"] for contact_id, answer in answers.items()} == plans
