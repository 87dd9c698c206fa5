"""The ledger's runs: recorded, released or rejected, and what others of them reached."""
