"""Workflows: their definitions, their message templates and the policies over a run's changes."""
