"""What a ``segue_plugin.py`` in a plugins folder imports: it says that there is to be none."""

from __future__ import annotations

from segue.plugin import COPIED

raise ImportError(f"segue_plugin.py is {COPIED}")
