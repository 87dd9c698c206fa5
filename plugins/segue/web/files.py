"""Style sheets, scripts and icons, served to whoever is signed in."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from segue.web.pages import STATIC

router = APIRouter(include_in_schema=False)
_FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}  # a new version has a new address


@router.get("/static/{path:path}", name="static")
def static(path: str) -> FileResponse:
    """Return one file of the folder ``static``."""
    file = (STATIC / path).resolve()
    if not file.is_relative_to(STATIC) or not file.is_file():
        raise HTTPException(404, "There is no such file.")
    return FileResponse(file, headers=_FOR_A_DAY)
