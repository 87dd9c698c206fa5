"""The plugin class, which Airflow finds by the entry point ``airflow.plugins`` of the package.

It is loaded in every task process, so it imports nothing but Airflow's base. A plugin that Airflow
meets twice, in its plugins folder as well, makes it drop other plugins in silence: so a copy in
that folder is no plugin, and says why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

COPIED = (
    "a copy of Segue in Airflow's plugins folder: delete it there. The installed package "
    "airflow-segue is found without it, and twice the same plugin makes Airflow drop others"
)
if __name__ != "segue.plugin":  # as Airflow names a file of its plugins folder
    raise ImportError(COPIED)

Message = MutableMapping[str, Any]


class Pages:
    """The pages as an ASGI application that is built when the first request comes.

    So only an API server that shows a page pays for it, and a defect of ours cannot keep the API
    server, which every task needs, from starting.
    """

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        from segue.web.app import the_app

        await the_app()(scope, receive, send)


class SeguePlugin(AirflowPlugin):
    """Makes Segue known to Airflow (``airflow plugins`` lists it once)."""

    name = "segue"
    fastapi_apps: list[Any] = [  # noqa: RUF012 - as the base class declares it
        {"app": Pages(), "url_prefix": "/segue", "name": "Segue"}
    ]
    # hrefs are relative to the address that Airflow is served at; it fills in the names in braces
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Segue",
            "href": "segue/workflows",
            "url_route": "segue",
            "destination": "nav",
            "nav_top_level": True,
            "icon": "segue/static/icon-light.svg",
            "icon_dark_mode": "segue/static/icon-dark.svg",
        },
        {
            "name": "Segue",
            "href": "segue/workflow?workflow={DAG_ID}&tab=1",
            "url_route": "segue-workflow",
            "destination": "dag",
        },
        {
            "name": "Segue",
            "href": "segue/run?workflow={DAG_ID}&run={RUN_ID}&tab=1",
            "url_route": "segue-run",
            "destination": "dag_run",
        },
        {
            "name": "Segue",
            "href": "segue/task?workflow={DAG_ID}&task={TASK_ID}&tab=1",
            "url_route": "segue-task",
            "destination": "task",
        },
        {
            "name": "Segue",
            "href": (
                "segue/task?workflow={DAG_ID}&run={RUN_ID}&task={TASK_ID}&branch={MAP_INDEX}&tab=1"
            ),
            "url_route": "segue-branch",
            "destination": "task_instance",
        },
    ]
