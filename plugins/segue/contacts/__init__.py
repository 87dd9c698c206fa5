"""Contacts: what is known of a run's contacts: their details, whether conditions hold, consent."""
