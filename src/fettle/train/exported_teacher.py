"""An exported classifier as a teacher: what is served is what is learnt from."""

from pathlib import Path

import torch
from torch import nn

from fettle.models.architecture import Architecture
from fettle.runtimes import open_engine

EPS = 1e-6


class ExportedTeacher(nn.Module):
    """(N, 3, S, S), normalized for the student, to the logarithms of the teacher's probabilities, (N, C).

    The images go back to bytes, as the teacher takes them: it sees what the student sees, augmented and mixed.

    Args:
        file: Of the exported model.
        runtime: In which it answers.
        student: Its normalization is undone.
        digest: Of the export: what a run that can be taken up again knows its teacher by.
    """

    mean: torch.Tensor
    std: torch.Tensor
    identity: torch.Tensor

    def __init__(self, file: Path, runtime: str, student: Architecture, *, digest: str) -> None:
        super().__init__()
        self.engine = open_engine(runtime, file)
        for name in ("mean", "std"):
            self.register_buffer(name, 255 * torch.tensor(getattr(student, name)).view(1, -1, 1, 1))
        self.register_buffer("identity", torch.tensor(list(digest.encode()), dtype=torch.uint8))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = (images * self.std + self.mean).round().clamp(0, 255).to(torch.uint8)
        answers = self.engine(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        return torch.from_numpy(answers[0]).clamp_min(EPS).log().to(images.device)
