"""Airflow's notifiers, as a workflow's ``notify`` names them, built when there is a need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import BaseNotifier

from segue.workflows.definition import Notice
from segue.workflows.notices import build_notifier


class NamedNotifier(BaseNotifier):
    """Stands in for the notifier that a notice names.

    A notifier that fails is an error in the log and stops nothing: the question stands in the UI,
    and the report has said what there is to say. ``has_told`` says whether the last call worked.
    """

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self.has_told = False

    def __call__(self, *args: Any) -> None:
        """Build the notifier and call it as Airflow called this one."""
        self.has_told = False
        try:
            build_notifier(self.notice)(*args)
            self.has_told = True
        except Exception:  # whatever a vendor's client raises
            self.log.exception("%s could not tell anybody", self.notice.notifier)


def notifiers(notices: Iterable[Notice]) -> list[NamedNotifier]:
    """Return a notifier for each notice."""
    return [NamedNotifier(notice) for notice in notices]
