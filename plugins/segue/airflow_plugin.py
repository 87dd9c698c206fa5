"""What ``segue_plugin.py`` in a plugins folder imports: no plugin any more, but what to do about it."""

from __future__ import annotations

from segue.plugin import COPIED

raise ImportError(f"segue_plugin.py is {COPIED}")
