"""The robustness audit: what is tried (plan), one shard of images on one network (shard, judged),
the sums (tally), the report.
"""
