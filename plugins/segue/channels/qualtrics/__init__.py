"""Qualtrics: contacts, tickets, survey invitations and links."""
