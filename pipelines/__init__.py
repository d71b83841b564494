"""Compose the components into a graph that a spec describes; compile it, run it locally."""
