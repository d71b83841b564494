"""What every engine checks of its options, its model and its images."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from fettle.errors import ArtifactError, ServeError, SpecError


def check_option_names(runtime: str, options: Collection[str], known: Collection[str]) -> None:
    """Refuse parameters that Triton's backend would silently ignore.

    Raises:
        SpecError: If an option is not among ``known``.
    """
    for name in options:
        if name not in known:
            raise SpecError(f"{runtime} has no option {name!r}: it knows {', '.join(known)}.")


def integer_option(name: str, value: str) -> int:
    """Return a non-negative number that was written as text.

    Raises:
        SpecError: If it is none.
    """
    if not value.isdecimal():
        raise SpecError(f"The option {name} must be a whole number of at least 0, got {value!r}.")
    return int(value)


def check_signature(file: Path, names: list[str], dtype: str, shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """Return (S, S, 3), the shape of one image.

    Args:
        file: The model's file, for the message.
        names: Names of the inputs.
        dtype: Element type of the first, as the runtime writes it.
        shape: Its shape; ``None`` where a dimension is dynamic.

    Raises:
        ArtifactError: If the model does not take one (N, S, S, 3) uint8 tensor.
    """
    image = tuple(size for size in shape[1:] if size is not None)
    if len(names) != 1 or dtype not in ("tensor(uint8)", "uint8") or len(image) != 3 or len(shape) != 4:
        raise ArtifactError(
            f"{file} takes {', '.join(names) or 'nothing'} as {dtype} {shape}, not one uint8 tensor (N, S, S, 3): "
            "export the model with `fettle export`."
        )
    return image


def check_images(images: np.ndarray, image_shape: tuple[int, ...]) -> None:
    """Refuse what the graph would refuse with words of its own, or convert in silence.

    Raises:
        ServeError: If ``images`` is not uint8 of shape (N, *image_shape) with N >= 1.
    """
    if images.dtype != np.uint8:
        raise ServeError(f"`images` must be uint8 in 0..255, got {images.dtype}.")
    if images.ndim != 4 or images.shape[1:] != image_shape or len(images) == 0:
        raise ServeError(
            f"`images` must have shape (N, {', '.join(map(str, image_shape))}) with N >= 1, got {images.shape}."
        )


def answers(outputs: Iterable[np.ndarray], count: int) -> tuple[np.ndarray, ...]:
    """Return what a runtime gave: fractions as float32, whole numbers as int32.

    Raises:
        ServeError: If an output has not one row for each of ``count`` images.
    """
    found = tuple(np.asarray(output, _DTYPES[output.dtype.kind]) for output in outputs)
    for output in found:
        if output.ndim == 0 or len(output) != count:
            raise ServeError(f"The model answered {output.shape} to {count} images: export it again, batch first.")
    return found


_DTYPES = {"f": np.float32, "i": np.int32, "u": np.int32, "b": np.int32}


def reason(error: Exception) -> str:
    """Return the last line of a runtime's message: the ones before it name source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
