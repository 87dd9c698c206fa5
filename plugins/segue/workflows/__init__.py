"""Workflows: their definitions, how they are found by name, checked and resolved."""
