"""Side by side with the peers: ratios measured in one run, interleaved, with the same threads on
both sides.
"""
