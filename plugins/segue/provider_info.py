"""What ``airflow providers`` and ``airflow config`` know of Segue: the ``apache_airflow_provider``.

Airflow calls this in every process, so nothing is imported but tables of texts. The
plugin is not named here: it has an entry point of its own, and found twice it would be dropped.
"""

from __future__ import annotations

from typing import Any

from segue.connection_types import CONNECTION_TYPES, ConnectionType
from segue.settings import OPTIONS, SECTION


def get_provider_info() -> dict[str, Any]:
    """Return the package as Airflow's ``provider_info.schema.json`` describes one."""
    from segue import __version__

    return {
        "package-name": "airflow-segue",
        "name": "Segue",
        "description": "Turns changes in contact segments into actions, each message once.",
        "versions": [__version__],
        "connection-types": [_connection_type(each) for each in CONNECTION_TYPES],
        "config": {
            SECTION: {
                "description": "Segue's settings. An environment variable SEGUE_… goes before.",
                "options": {name: _option(name) for name in OPTIONS},
            }
        },
    }


def _option(name: str) -> dict[str, Any]:
    option = OPTIONS[name]
    return {
        "description": f"{option.meaning}.",
        "version_added": "0.1.0",
        "type": "string",
        "example": option.example,
        "default": None,
        "sensitive": option.is_secret,
    }


def _connection_type(each: ConnectionType) -> dict[str, Any]:
    return {
        "connection-type": each.name,
        "hook-class-name": f"segue.connection_hooks.{each.hook}",
        "hook-name": each.title,
        "ui-field-behaviour": {
            "hidden-fields": list(each.hidden),
            "relabeling": dict(each.labels),
            "placeholders": dict(each.placeholders),
        },
    }
