"""Upkeep: what people ask for between runs, and what keeps the ledger small."""
