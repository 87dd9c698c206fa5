"""What the ledger tells: pages, counts and histories; nothing here writes."""
