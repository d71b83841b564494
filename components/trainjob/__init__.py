"""A step on several machines: its pod makes a TrainJob of Kubeflow's Trainer, follows it, and takes what it made.

The artifact is written by the step's own pod, so that lineage, cache and card are those of any other step.
"""

from components.trainjob.step import run

__all__ = ["run"]
