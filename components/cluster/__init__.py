"""Kubernetes, for steps that use it themselves and for what submits a pipeline: its API, and why a pod waits or failed.

Its client is imported with the modules of this room, so that a step that needs no cluster does not load it.
"""
