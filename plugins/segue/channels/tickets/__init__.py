"""Tickets at Zendesk, Freshdesk, Jira and ServiceNow."""
