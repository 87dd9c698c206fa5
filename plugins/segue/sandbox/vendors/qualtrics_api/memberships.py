"""Mailing lists and segments of the look-alike of Qualtrics' API v3, each by its id.

Of a segment only the path is published, and how often a minute it may be asked for
(https://api.qualtrics.com/a5e9a1a304902-limits); its answer is like that of a mailing list.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from segue.sandbox.vendor_api import Call
from segue.sandbox.vendors.qualtrics_api import generated
from segue.sandbox.vendors.qualtrics_api.answers import (
    OF_DIRECTORY,
    USER_ID,
    api,
    ok,
    refuse,
    take_turn,
)
from segue.sandbox.vendors.qualtrics_api.contacts import (
    DIRECTORY,
    MAILING_LIST,
    require_directory,
)

SEGMENTS_A_MINUTE = 60


@api.get(f"{OF_DIRECTORY}/mailinglists/{{place}}")
def _show_mailing_list(call: Call) -> Response:
    take_turn(call, "mailinglists")
    is_generated = generated.size_of(call.path_values["directory"]) is not None
    names = generated.MAILING_LISTS if is_generated else {MAILING_LIST: "Sandbox"}
    return _shown(call, "mailingListId", names, "MAILING_LIST_NOT_FOUND")


@api.get(f"{OF_DIRECTORY}/segments/{{place}}")
def _show_segment(call: Call) -> Response:
    take_turn(call, "segments", SEGMENTS_A_MINUTE)
    names = {} if call.path_values["directory"] == DIRECTORY else generated.SEGMENTS
    return _shown(call, "segmentId", names, "SEGMENT_NOT_FOUND")


def _shown(call: Call, key: str, names: Mapping[str, str], unknown: str) -> Response:
    require_directory(call.path_values["directory"])
    place = call.path_values["place"]
    if place not in names:
        raise refuse(404, unknown, "The request was unable to find it.")
    dates = dict.fromkeys(("lastModifiedDate", "creationDate"), "1767225600000")
    return ok({key: place, "name": names[place], "ownerId": USER_ID, **dates})
