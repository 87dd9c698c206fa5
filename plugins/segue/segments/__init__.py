"""Segments: conditions over a directory, the contacts they hold, and how those change."""
