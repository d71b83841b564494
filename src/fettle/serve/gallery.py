"""A gallery: who is known, as embeddings of their pictures; and who is on a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast
from zipfile import BadZipFile

import numpy as np

from fettle.errors import ArtifactError, ServeError
from fettle.serve.client import Client
from fettle.serve.description import Description
from fettle.serve.predictions import Embedding


@dataclass(frozen=True)
class Match:
    """The person of the gallery who is most like a picture.

    Attributes:
        name: Of that person.
        similarity: Cosine of the most similar picture.
        known: Whether that is enough to be the same.
    """

    name: str
    similarity: float
    known: bool

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Gallery:
    """Known people.

    Attributes:
        names: N names, one a picture.
        embeddings: (N, D) float32 of length 1.
        model: Digest of the model that made them: others' embeddings do not compare.
    """

    names: tuple[str, ...]
    embeddings: np.ndarray
    model: str

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a gallery.

        Raises:
            ArtifactError: If the file is missing, or none.
        """
        try:
            with np.load(file) as arrays:
                return cls(tuple(arrays["names"].tolist()), arrays["embeddings"], str(arrays["model"]))
        except FileNotFoundError:
            raise ArtifactError(f"{file} does not exist: make it with `fettle enroll`.") from None
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise ArtifactError(f"{file} is no gallery ({error}): make it with `fettle enroll`.") from None

    def save(self, file: Path) -> None:
        """Write the gallery, beside and then in its place."""
        beside = file.with_name(f".{file.name}.new")
        with beside.open("wb") as stream:
            np.savez(stream, names=np.array(self.names), embeddings=self.embeddings, model=np.array(self.model))
        beside.replace(file)

    def with_people(self, names: Sequence[str], embeddings: np.ndarray) -> "Gallery":
        """Return a gallery that knows these too; a person who is known already has the new pictures only."""
        stay = [index for index, name in enumerate(self.names) if name not in set(names)]
        kept = self.embeddings[stay]
        return Gallery((*(self.names[index] for index in stay), *names), np.concatenate([kept, embeddings]), self.model)

    def find(self, embedding: np.ndarray, *, similarity: float) -> Match:
        """Return who is most like ``embedding``, (D,): exact search by cosine."""
        cosines = self.embeddings @ embedding
        best = int(cosines.argmax())
        return Match(self.names[best], float(cosines[best]), bool(cosines[best] >= similarity))


def enroll(client: Client, people: Mapping[str, Sequence[Path]], gallery: Gallery | None = None) -> Gallery:
    """Return ``gallery``, or a new one, with the pictures of ``people``.

    Raises:
        ServeError: If the model gives no embeddings, or another one than the gallery's is served.
        DataError: If a picture cannot be read.
    """
    served = _described(client)
    if gallery is not None:
        check_model(client, served, gallery)
    names = [name for name, pictures in people.items() for _ in pictures]
    found = embed(client, [picture for pictures in people.values() for picture in pictures])
    empty = Gallery((), np.empty((0, found.shape[1]), np.float32), served.model)
    return (gallery or empty).with_people(names, found)


def identify(client: Client, pictures: Sequence[Path], gallery: Gallery) -> tuple[Match, ...]:
    """Say who of the gallery is on each picture.

    Raises:
        ServeError: If the model gives no embeddings, or another one than the gallery's is served.
        DataError: If a picture cannot be read.
    """
    served = _described(client)
    check_model(client, served, gallery)
    assert served.similarity is not None
    return tuple(gallery.find(each, similarity=served.similarity) for each in embed(client, pictures))


def embed(client: Client, pictures: Sequence[Path]) -> np.ndarray:
    """Return the embeddings of pictures, (N, D) float32."""
    return np.stack([cast(Embedding, answer).vector for answer in client.predict_files(pictures)])


def check_model(client: Client, served: Description, gallery: Gallery) -> None:
    """Refuse a gallery of another model.

    Raises:
        ServeError: If its digest is not that of what is served.
    """
    if gallery.model != served.model:
        raise ServeError(
            f"The gallery was made with model {gallery.model}, and {client.model} version {served.version} is "
            f"{served.model}: their embeddings do not compare. Enroll anew, or roll back."
        )


def _described(client: Client) -> Description:
    served = client.describe()
    if served.similarity is None:
        raise ServeError(
            f"{client.model} is a model for {served.task or 'an unknown task'}, and gives no embeddings: name one of "
            "task embed with --model."
        )
    return served
