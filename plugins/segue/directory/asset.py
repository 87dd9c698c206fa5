"""What Airflow calls the asset that stands for a directory's snapshots."""

from __future__ import annotations


def asset_name(directory: str) -> str:
    """Return the asset's name; a directory of a project is named ``PROJECT/DIRECTORY``."""
    return f"segue_snapshots_{directory.replace('/', '.')}"


def asset_uri(directory: str) -> str:
    """Return the asset's URI; ``directory`` as of ``asset_name``."""
    project, _, name = directory.rpartition("/")
    place = f"directory/{name}/snapshots"
    return f"segue://project/{project}/{place}" if project else f"segue://{place}"
