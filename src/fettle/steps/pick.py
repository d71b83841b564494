"""Step ``pick``: one of the exports that a search ended with, as an artifact of its own."""

import shutil
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.errors import SpecError
from fettle.export.manifest import read_manifest

FRONT = "front"  # folder of a search's exports, 1 and up, the fastest first


def pick(search: Path, out: Path, *, number: int, recipe: str) -> Artifact:
    """Take an export out of a search.

    Args:
        search: ``search`` artifact.
        out: Where the ``export`` artifact is written.
        number: Which one, from 1, the fastest.
        recipe: Name of the recipe, such as ``auto-1``.

    Raises:
        SpecError: If the search has not so many.
        ArtifactError: If the search is missing or altered.
    """
    source = Artifact.open(search, kind="search")
    place = search / FRONT / str(number)
    if not place.is_dir():
        count = sum(1 for _ in (search / FRONT).iterdir())
        raise SpecError(f"{search} ended with {count} exports: there is no number {number}.")
    with card.create(
        out, kind="export", name=recipe, config={"recipe": recipe, "number": number}, parents={"search": source.card}
    ) as draft:
        shutil.copytree(place, draft.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("network"))
        made = read_manifest(draft.path)
        made.save()
        draft.summary.update(
            precision=made.precision,
            megabytes=round(sum(file.stat().st_size for file in made.files) / 1e6, 3),
        )
    return Artifact.open(out, kind="export")
