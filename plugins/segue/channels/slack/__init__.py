"""Slack: messages by a bot and by a webhook, and their blocks."""
