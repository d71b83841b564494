"""Accuracy, speed and choice: what the exported file does in the runtime that will serve it.

Import the module that you need: reading results must not cost the import of scikit-learn.
"""
