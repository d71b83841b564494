"""Members of an ensemble one after the other, then their vote: what Triton's ensemble scheduler does.

``ensemble.json`` names them: ``{"members": [{"name", "runtime", "file", "options"}, ...], "vote": file}``, with files
relative to it.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fettle.errors import ArtifactError, ServeError
from fettle.runtimes.checks import check_option_names
from fettle.runtimes.engine import Engine, open_engine
from fettle.runtimes.vote import Vote


class EnsembleEngine(Engine):
    """All members in this process, each with all threads while it runs."""

    def __init__(self, file: Path, *, threads: int | None = None, options: Mapping[str, str]) -> None:
        check_option_names("ensemble", options, ())
        try:
            described = json.loads(file.read_text())
            members = {each["name"]: each for each in described["members"]}
            vote = file.parent / described["vote"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{file} describes no ensemble ({error!r}): combine the members again.") from None
        with contextlib.ExitStack() as stack:
            engines = {
                name: stack.enter_context(
                    open_engine(each["runtime"], file.parent / each["file"], threads=threads, options=each["options"])
                )
                for name, each in members.items()
            }
            self._vote = Vote(vote, options={})
            self._stack = stack.pop_all()
        self._engines = [engines[name] for name in self._vote.inputs]
        self.image_shape = self._engines[0].image_shape
        self.precision = " + ".join(dict.fromkeys(engine.precision for engine in self._engines))
        self._open = True

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        if not self._open:
            raise ServeError("This ensemble is closed: open it again.")
        return self._vote(*(engine(images)[0] for engine in self._engines))

    def close(self) -> None:
        self._open = False
        self._vote.close()
        self._stack.close()
