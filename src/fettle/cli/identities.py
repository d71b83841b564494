"""Commands around a gallery of known people: ``enroll``, ``identify``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import AsJson, SpecFile, read_spec
from fettle.cli.serving import Endpoint, Model, Protocol, Wire, open_client

GalleryFile = Annotated[Path, typer.Option("--gallery", "-g", help="File of the gallery.")]
GALLERY = Path("gallery.npz")


def enroll(
    people: Annotated[Path, typer.Argument(help="Folder with a folder of pictures for each person.")],
    gallery: GalleryFile = GALLERY,
    model: Model = None,
    protocol: Protocol = Wire.http,
    endpoint: Endpoint = None,
    spec: SpecFile = None,
) -> None:
    """Add people to a gallery, by the served model's embeddings of their pictures; a new gallery is made."""
    from fettle.errors import DataError
    from fettle.serve import gallery as galleries

    found = _pictures(people)
    if not found:
        raise DataError(f"{people} has no folder with pictures: it must have one for each person.")
    known = galleries.Gallery.load(gallery) if gallery.exists() else None
    with open_client(read_spec(spec, None), model, protocol, endpoint) as client:
        made = galleries.enroll(client, found, known)
    made.save(gallery)
    typer.echo(f"{gallery}\t{len(set(made.names))} people\t{len(made.names)} pictures")


def identify(
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size.")],
    gallery: GalleryFile = GALLERY,
    model: Model = None,
    protocol: Protocol = Wire.http,
    endpoint: Endpoint = None,
    spec: SpecFile = None,
    as_json: AsJson = False,
) -> None:
    """Say who of a gallery is on pictures; who is not like enough to anybody is `unknown`."""
    from fettle.serve import gallery as galleries

    known = galleries.Gallery.load(gallery)
    with open_client(read_spec(spec, None), model, protocol, endpoint) as client:
        matches = galleries.identify(client, images, known)
    if as_json:
        rows = [{"image": str(image), **match.to_json()} for image, match in zip(images, matches, strict=True)]
        typer.echo(json.dumps(rows, indent=1))
        return
    for image, match in zip(images, matches, strict=True):
        typer.echo(f"{match.name if match.known else 'unknown'}\t{match.similarity:.4f}\t{image}")


def _pictures(people: Path) -> dict[str, list[Path]]:
    """Return the pictures of each person, by the names of the folders."""
    from fettle.data.readers.files import image_paths
    from fettle.errors import DataError

    if not people.is_dir():
        raise DataError(f"{people} is not a folder: give one that has a folder of pictures for each person.")
    folders = sorted(folder for folder in people.iterdir() if folder.is_dir())
    found = {folder.name: [folder / path for path in image_paths(folder)] for folder in folders}
    return {name: pictures for name, pictures in found.items() if pictures}
