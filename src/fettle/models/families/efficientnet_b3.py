"""``efficientnet_b3`` with CBAM attention after its last stages."""

from typing import Any, cast

from torch import nn

from fettle.models.cbam import CBAM
from fettle.models.registry import register
from fettle.models.timm_model import build_timm

# Stages 5 and 6 of 0..6 (232 and 384 channels): what a channel means and where it fires is worth weighing in late,
# semantic layers. Each block has squeeze-excitation already, so that more places cost time and add little.
CBAM_STAGES = (5, 6)


@register("efficientnet_b3", task="classify")
def efficientnet_b3(
    classes: int,
    *,
    image_size: int,
    pretrained: bool,
    cbam: bool = True,
    drop_rate: float = 0.3,
    drop_path_rate: float = 0.2,
    **options: Any,
) -> nn.Module:
    """Build an EfficientNet-B3 (Tan and Le 2019).

    Args:
        classes: Outputs of the classifier.
        image_size: Height and width in pixels.
        pretrained: Download ImageNet weights; CBAM and the classifier start from scratch.
        cbam: Add attention after the stages :data:`CBAM_STAGES`.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0.
        **options: See :func:`fettle.models.timm_model.build_timm`.
    """
    model = build_timm(
        "efficientnet_b3",
        classes,
        image_size=image_size,
        pretrained=pretrained,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        **options,
    )
    if cbam:
        for stage in CBAM_STAGES:
            blocks = cast(nn.Sequential, cast(nn.Sequential, model.blocks)[stage])
            blocks.append(CBAM(cast(nn.Conv2d, blocks[-1].conv_pwl).out_channels))
    return model
