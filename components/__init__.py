"""One thin Kubeflow component a step: unpack the inputs, call ``fettle.steps``, log the metrics.

A component's body runs in the step image, where Fettle's wheel is installed: it imports inside, and uses
no name of its module (the Kubeflow compiler copies the function's source alone).
"""
