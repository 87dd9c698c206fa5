"""Memberships: who is in a segment at a snapshot, as stored, and how two of them differ."""
