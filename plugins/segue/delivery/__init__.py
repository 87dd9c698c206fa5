"""Delivery: the one door that every message goes through, and what comes before and after it."""
