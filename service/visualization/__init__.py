"""Pictures of units for requests: what is asked, how it is made, what it is worth, and how whole
layers are kept.
"""
