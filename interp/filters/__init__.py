"""First-layer filters, tuning curves and feature maps."""
