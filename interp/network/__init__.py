"""A hosted network: pixels in, activations and gradients out, what it is made of, and what it loses
without a unit.
"""
