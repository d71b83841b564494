"""Which nodes of an exported graph stay in float."""

import re
from collections.abc import Iterable, Sequence

from fettle.errors import OptimizeError

# The modules around the network (see fettle.export.served): a few operations an image, and the
# resolution of pixels and probabilities hangs on them.
AROUND_THE_NETWORK = ("preprocess/", "postprocess/")


def float_nodes(names: Iterable[str], keep_float: Sequence[str]) -> list[str]:
    """Return those of ``names`` that are not quantized: pre- and post-processing, and what ``keep_float`` finds.

    Args:
        names: Node names, such as ``layer1.0.conv1/Conv``.
        keep_float: Regular expressions, searched in the names.

    Raises:
        OptimizeError: If an expression is none, or finds nothing.
    """
    names = list(names)
    kept = [name for name in names if name.startswith(AROUND_THE_NETWORK)]
    for pattern in keep_float:
        try:
            found = [name for name in names if re.search(pattern, name)]
        except re.error as error:
            raise OptimizeError(f"`quantize.keep_float` {pattern!r} is not a regular expression: {error}.") from None
        if not found:
            raise OptimizeError(
                f"`quantize.keep_float` {pattern!r} finds no node: they are named {names[0]!r} … {names[-1]!r}."
            )
        kept += found
    return kept
