"""What is computed: feature visualization, exemplars, filters and attacks, as pure PyTorch
procedures.
"""
