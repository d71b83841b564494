"""The same pipeline on Kubernetes: find the platform, upload the data, submit, follow, bring the results home.

The cluster is reached by the Kubernetes client alone, with the rights of whoever runs the command: ``get`` on the
ConfigMap and the Secret of the platform and on Services, ``list`` on Pods, ``get`` on ``pods/log``, and ``get`` and
``create`` on ``pods/portforward``, all in one namespace.
"""
