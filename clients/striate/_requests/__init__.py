"""From Python values to messages."""
