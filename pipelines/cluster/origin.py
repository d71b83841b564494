"""Where the run of a folder was: beside what came home, so that a person's approval finds the way back.

It needs no client of a cluster: where there is none, what ran here is promoted by the same commands.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fettle.errors import ArtifactError

ORIGIN = "cluster.json"  # in the folder of a run


@dataclass(frozen=True)
class Origin:
    """Where a run was.

    Attributes:
        run_id: Kubeflow's name for it.
        context: Of the kubeconfig.
        namespace: Where it ran.
        places: URL of each artifact that its report tells of, and of its candidates' exports, by name.
    """

    run_id: str
    context: str
    namespace: str
    places: Mapping[str, str]

    def save(self, run: Path) -> None:
        """Write it into the folder of the run."""
        (run / ORIGIN).write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_origin(run: Path) -> Origin | None:
    """Return where the run of a folder was, ``None`` of one that ran here.

    Raises:
        ArtifactError: If the file is damaged.
    """
    file = run / ORIGIN
    try:
        return TypeAdapter(Origin).validate_json(file.read_text()) if file.is_file() else None
    except (OSError, ValidationError) as error:
        raise ArtifactError(
            f"{file} cannot be read ({error}): bring the run home with `fettle submit --follow`."
        ) from None
