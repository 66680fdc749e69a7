"""The calls behind the handles.

Service and Model are thin: each of their methods calls one function here, which makes the request,
splits it where it is too large, and reads the response. What the arguments mean, and what is
raised, stands with the methods.
"""
