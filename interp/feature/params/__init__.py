"""Parameterizations: where a picture lives while it is optimized."""
