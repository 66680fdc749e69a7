"""The microscope: every unit of every network that a Striate server hosts, in the browser.

A thin client like any other: it asks the server through `striate.aio` with its visitor's token, and
keeps nothing but what may be asked for again.
"""
