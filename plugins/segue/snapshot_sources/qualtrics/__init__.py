"""Qualtrics XM Directory as the source of a directory's snapshots."""
