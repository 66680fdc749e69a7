"""Exemplar indexes: built shard by shard in one pass over a data set, and asked through
memory-mapped files.
"""
