"""Thin client of Striate."""
