"""What leaves the ledger: old runs, forgotten contacts."""
