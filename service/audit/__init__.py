"""Audits as durable operations: a run over shards (run), what it keeps on disk (journal, files),
what it is given (job, images).
"""
