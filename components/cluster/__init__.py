"""Kubernetes, for steps that use it themselves and for what submits a pipeline: its API, and why a pod waits or failed.

The client of the API is imported by the modules that use it, so that a step that needs no cluster does not load it.
"""
