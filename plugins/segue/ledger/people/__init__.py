"""What people do in the ledger: requests, stops, quarantines, suppressions."""
