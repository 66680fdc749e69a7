"""Crowds of clients, and what they do to a server: quotas, cancels, idle ones and slow ones."""
