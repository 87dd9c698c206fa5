"""Regular expressions over contacts' text: RE2's, so that no text and no pattern takes for ever."""

from __future__ import annotations

from functools import cache


def require_pattern(pattern: str) -> str:
    """Return a pattern; ValueError where RE2 refuses it, as what needs more than linear time."""
    reason = _why_refused(pattern)
    if reason:
        raise ValueError(
            f"{pattern!r} is not a regular expression of RE2, which has no backreferences and "
            f"no look-around: {reason}"
        )
    return pattern


@cache
def _why_refused(pattern: str) -> str | None:
    """Return why RE2 refuses a pattern; None if it does not."""
    # Only definitions with a pattern pay for the import when they are read. The engine that
    # judges columns is asked itself: no other one accepts exactly what it does.
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return None
