"""Triton: a local server, a client of any server, and the confirmation that served answers are the offline ones.

Nothing is imported here: the Triton backend below this package runs where there is only numpy and one runtime.
"""
