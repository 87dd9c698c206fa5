"""Takes: the snapshots that Segue reads from a database itself, and how they are published."""
