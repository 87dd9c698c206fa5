"""Delivery: the ledger, the one door through which every message goes, and the channel interface."""
