"""``serve``: what is promoted, where to, and how Triton runs it."""

from typing import Literal

from pydantic import Field

from fettle.spec.base import Section

ProfileName = Literal["accuracy", "balanced", "edge", "throughput"]


class ServeConfig(Section):
    """Promotion and serving."""

    profile: ProfileName = "balanced"
    """Which profile's pick is promoted."""
    approve: Literal["auto", "manual"] = "auto"
    """``auto`` promotes what passed the gates; ``manual`` waits for ``fettle promote``."""
    repository: str = "runs/repository"
    """Triton model repository: a folder or ``s3://bucket/prefix``."""
    model_name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name in the repository; by default that of the spec."""
    max_batch: int = Field(16, ge=1, le=1024)
    """Largest batch that Triton forms."""
    queue_delay_us: int = Field(500, ge=0)
    """How long a request may wait for others to join its batch."""
    instances: int = Field(1, ge=1)
    """Model instances a device; on CPUs one that uses all cores is fastest."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where the instances run."""
    response_cache: bool = False
    """Let Triton answer repeated requests from its response cache."""
    endpoint: str | None = None
    """``host:port`` of a running Triton's HTTP service to confirm against; by default a local one is started."""
