"""Email over SMTP: the message, its addresses and attachments, and the talk with the server."""
