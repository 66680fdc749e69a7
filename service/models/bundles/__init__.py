"""Bundles: a network in one file, `NAME.striate`, that can be carried to another server."""
