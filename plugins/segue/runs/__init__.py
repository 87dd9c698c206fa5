"""Runs: what one run decides: its span, its changes, what looks odd, whom the guard asks about."""
