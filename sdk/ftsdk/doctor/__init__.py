"""`ft-doctor`: what is installed, what it can really do here, and the cure for each fault.

Every module is a group of checks. A check looks and returns Findings; it raises nothing, and what
is too broken to be imported is imported inside it.
"""
