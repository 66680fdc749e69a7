"""The command line `striate`."""
