"""Previews: what a run would do or has sent, told without sending anything."""
