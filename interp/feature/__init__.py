"""Feature visualization: the picture that an objective likes best, and what the picture is
worth.
"""
