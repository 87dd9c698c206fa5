"""Draw changes per day as stacked bars: SVG, written here, or PNG through matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from segue.errors import SettingsError

if TYPE_CHECKING:
    from segue.preview.simulation import Day

_COLORS = {"added": "#2a78d6", "removed": "#9a9a96", "opted_in": "#1c9a6c", "opted_out": "#c26a12"}
_INK, _FAINT, _STOPPED = "#1a1a1a", "#d8d8d4", "#b3261e"
_WIDTH, _HEIGHT = 960, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 64, 40
_TICKS = 4
_LABELS = 10  # days named below the axis
_MISSING = (
    "a .png is drawn by matplotlib, which is not installed: pip install matplotlib, or name the "
    "file .svg, which needs nothing"
)


def check_suffix(path: Path) -> None:
    """Raise SettingsError for a file that cannot be drawn, before any work is done for it."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise SettingsError(f"--plot {path}: found {path.suffix!r}; allowed: .svg or .png")
    if not path.absolute().parent.is_dir():
        raise SettingsError(f"--plot {path}: there is no folder {path.absolute().parent}")
    if path.suffix.lower() == ".png":
        _require_matplotlib()


def write_plot(path: Path, title: str, kinds: Sequence[str], days: Sequence[Day]) -> None:
    """Write the changes of each day, by kind; days that the guard stopped are marked."""
    if path.suffix.lower() == ".png":
        _write_png(path, title, kinds, days)
    else:
        path.write_text("\n".join(_svg(title, kinds, days)) + "\n", encoding="utf-8")


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401, ICN001 - only whether it is there
    except ImportError:
        raise SettingsError(_MISSING) from None


def _write_png(path: Path, title: str, kinds: Sequence[str], days: Sequence[Day]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), layout="constrained")
    axes = figure.subplots()
    bottoms = [0] * len(days)
    for kind in kinds:
        heights = [day.changes.get(kind, 0) for day in days]
        axes.bar(range(len(days)), heights, bottom=bottoms, label=kind, color=_COLORS[kind])
        bottoms = [low + height for low, height in zip(bottoms, heights, strict=True)]
    for index in (index for index, day in enumerate(days) if day.stopped):
        axes.text(index, bottoms[index], "stopped", color=_STOPPED, ha="center", va="bottom")
    labels = _named(len(days))
    axes.set_xticks(labels, [days[index].snapshot for index in labels], fontsize=8)
    axes.set_title(title, loc="left")
    axes.set_ylabel("contacts")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _svg(title: str, kinds: Sequence[str], days: Sequence[Day]) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12" '
        f'fill="{_INK}">'
    )
    yield f"<title>{escape(title)}</title>"
    yield '<rect width="100%" height="100%" fill="#ffffff"/>'
    yield f'<text x="{_LEFT}" y="24" font-size="16">{escape(title)}</text>'
    yield from _legend(kinds)
    step = _step(max((day.total for day in days), default=0))
    yield from _axis(step)
    yield from _columns(kinds, days, step * _TICKS)
    yield "</svg>"


def _legend(kinds: Sequence[str]) -> Iterator[str]:
    for index, kind in enumerate(kinds):
        x = _LEFT + 110 * index
        yield f'<rect x="{x}" y="36" width="12" height="12" fill="{_COLORS[kind]}"/>'
        yield f'<text x="{x + 18}" y="46">{escape(kind)}</text>'


def _axis(step: int) -> Iterator[str]:
    for tick in range(_TICKS + 1):
        y = _y(tick / _TICKS)
        yield (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{_FAINT}"/>'
        )
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick * step:,}</text>'


def _columns(kinds: Sequence[str], days: Sequence[Day], most: int) -> Iterator[str]:
    slot = (_WIDTH - _LEFT - _RIGHT) / len(days)
    width = min(slot * 0.8, 48)
    labels = set(_named(len(days)))
    for index, day in enumerate(days):
        middle = _LEFT + slot * (index + 0.5)
        base = 0
        for kind in kinds:
            number = day.changes.get(kind, 0)
            top, bottom = _y((base + number) / most), _y(base / most)
            base += number
            if number:
                yield (
                    f'<rect x="{middle - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
                    f'height="{bottom - top:.1f}" fill="{_COLORS[kind]}">'
                    f"<title>{escape(day.snapshot)}: {number:,} {escape(kind)}</title></rect>"
                )
        if day.stopped:
            yield _label(middle, _y(base / most) - 4, "stopped", _STOPPED)
        if index in labels:
            yield _label(middle, _HEIGHT - _BOTTOM + 18, day.snapshot, _INK)


def _label(x: float, y: float, text: str, color: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="11" fill="{color}"'
    return f"<text {place}>{escape(text)}</text>"


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _step(most: int) -> int:
    """Return a round step of the axis, so that ``_TICKS`` of them reach ``most``."""
    step = 1
    while step * _TICKS < most:
        first = int(str(step)[0])
        step = step * 2 if first != 2 else step // 2 * 5
    return step


def _named(days: int) -> list[int]:
    """Return which days are named below the axis: evenly, and not too many."""
    return list(range(0, days, -(-days // _LABELS)))
