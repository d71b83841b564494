"""The errors that Fettle raises for what a user or a machine did wrong.

::

    FettleError                 exit code 1
    ├── SpecError               exit code 2   the spec, an override or an argument
    ├── DataError               exit code 3   images or labels
    ├── ArtifactError           exit code 4   a missing, corrupt or altered artifact
    ├── TrainError              exit code 5   training diverged or was interrupted
    ├── OptimizeError           exit code 6   pruning, quantization or export failed
    ├── GateError               exit code 7   no candidate passed, or approval is missing
    ├── StorageError            exit code 8   a folder or object store failed
    ├── ServeError              exit code 9   Triton: missing, dying, refusing
    └── HardwareError           exit code 10  the step needs hardware that is not here

A message is one sentence or two: the argument or file, the value, and the remedy.
"""


class FettleError(Exception):
    """Base of every error that is shown to the user without a traceback."""

    exit_code = 1


class SpecError(FettleError):
    exit_code = 2


class DataError(FettleError):
    exit_code = 3


class ArtifactError(FettleError):
    exit_code = 4


class TrainError(FettleError):
    exit_code = 5


class OptimizeError(FettleError):
    exit_code = 6


class GateError(FettleError):
    exit_code = 7


class StorageError(FettleError):
    exit_code = 8


class ServeError(FettleError):
    exit_code = 9


class HardwareError(FettleError):
    exit_code = 10
