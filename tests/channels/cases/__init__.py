"""The channels' cases: each module of this package has one ``CASE``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.channels.case import ChannelCase

CASES: dict[str, ChannelCase] = {
    case.channel: case
    for case in (import_module(f"{__name__}.{found.name}").CASE for found in iter_modules(__path__))
}
