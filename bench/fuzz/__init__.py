"""Requests that nobody in their senses would send, generated from the contract's descriptors."""
