"""``make docs``: the pages as a site.

It is built from a copy that is laid out as the repository, so that a link leads there where it
leads on GitHub. What a fence says behind its language is for the tests of the pages.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "docs"
AT_THE_TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
BESIDE = ("docs/*.md", "docs/images/*", "tests/benchmarks/*.md", "tests/benchmarks/*.png")
LINKS_TO_CODE = re.compile(r"\]\(\.\./(plugins/[\w/]+\.py)\)")
FENCES = re.compile(r"(?m)^( *```\w+) .+$")


def main() -> int:
    """Build ``site/``; return zensical's exit code, which is 1 where a link leads nowhere."""
    shutil.rmtree(PLACE, ignore_errors=True)
    files = [ROOT / name for name in AT_THE_TOP]
    files += [path for pattern in BESIDE for path in sorted(ROOT.glob(pattern))]
    for path in files:
        copy(path)
    zensical = Path(sys.executable).parent / "zensical"
    command = [zensical, "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - our own


def copy(path: Path) -> None:
    """Copy a file to where it stands in the repository, and the code that it links to."""
    target = PLACE / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".md":
        shutil.copyfile(path, target)
        return
    text = path.read_text(encoding="utf-8")
    target.write_text(FENCES.sub(r"\1", text), encoding="utf-8")
    for name in LINKS_TO_CODE.findall(text):
        copy(ROOT / name)


if __name__ == "__main__":
    sys.exit(main())
