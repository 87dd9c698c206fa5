"""The ledger's deliveries on their way: claimed, called, ended, or left behind."""
