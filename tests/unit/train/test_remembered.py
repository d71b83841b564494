"""A teacher that is asked about the same images once."""

import torch
from torch import nn

from fettle.train.remembered import RememberedTeacher


class Counting(nn.Module):
    asked = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return images.flatten(1)[:, :4] * 2


def test_the_same_images_are_answered_once() -> None:
    torch.manual_seed(0)
    teacher = RememberedTeacher(Counting())
    images = torch.rand(5, 3, 8, 8)
    first = teacher(images)
    torch.testing.assert_close(teacher(images.to(memory_format=torch.channels_last)), first)
    assert teacher.teacher.asked == 1
    other = images.clone()
    other[4, 2, 7, 7] += 1e-6
    torch.testing.assert_close(teacher(other), first)
    teacher(images[:4])
    assert teacher.teacher.asked == 3


def test_it_keeps_no_more_than_it_may() -> None:
    teacher = RememberedTeacher(Counting(), most=5 * 4 * 4)
    for seed in range(3):
        torch.manual_seed(seed)
        images = torch.rand(5, 3, 8, 8)
        torch.testing.assert_close(teacher(images), images.flatten(1)[:, :4] * 2)
    assert len(teacher.answers) == 1
