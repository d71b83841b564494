"""What a run found, as a table for the terminal and one HTML page for people.

Import the module that you need: the table must not cost the import of matplotlib.
"""
