"""Delivery: the ledger, the one door that every message goes through, the channel interface."""
