"""Sources that a directory's own snapshots are taken from, beside databases: a folder for each."""
