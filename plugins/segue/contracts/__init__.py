"""Contracts: what a team's channels and live sources implement, and templates, below all else."""
