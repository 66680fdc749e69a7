"""Layer-wise relevance propagation: rules, what layers they are for, and the pass that applies
them.
"""
