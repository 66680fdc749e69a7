"""Between messages and values: the one place where requests are checked, so that everything behind
it can trust them. One module a subject.
"""
