"""What an embedding model says of two pictures."""

from pydantic import Field

from fettle.spec.base import Section


class VerificationConfig(Section):
    """The threshold that clients go by; no part of the graph."""

    similarity: float = Field(0.5, ge=-1, le=1)
    """Smallest cosine similarity at which two pictures are of one identity."""
