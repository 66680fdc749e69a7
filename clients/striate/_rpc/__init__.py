"""Calls: the channel, deadlines, batching, and checks of arguments."""
