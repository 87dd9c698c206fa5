"""Whether snapshots are what their directory expects; judged once, and remembered."""
