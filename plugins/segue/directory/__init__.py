"""Directories and their snapshots: finding, reading and checking the data contacts come in."""
