"""``arcface``: embeddings of faces, or of anything else that has an identity, on any network of timm.

For ``classify`` it answers by the cosines to the classes' prototypes.
"""

from typing import Any, cast

from torch import nn

from fettle.models.registry import register

DIMENSIONS = 512
SCALE = 30.0


@register("arcface", task="embed")
def arcface(
    classes: int,
    *,
    image_size: int,
    pretrained: bool,
    backbone: str = "resnet18",
    dimensions: int = DIMENSIONS,
    dropout: float = 0.0,
    frozen: int = 0,
    **options: Any,
) -> nn.Module:
    """Build the network of ArcFace (Deng et al. 2019, arXiv:1801.07698); see :class:`fettle.models.embedder.Embedder`.

    Args:
        classes: Identities.
        image_size: Height and width in pixels.
        pretrained: Download ImageNet weights for the backbone.
        backbone: A network of timm.
        dimensions: Of the embedding.
        dropout: Share of the features that the head drops in training.
        frozen: How many of the backbone's first parts (``conv1``, ``bn1``, ``layer1`` ...) keep their weights; for
            pretrained ones.
        **options: See :func:`fettle.models.timm_model.build_timm`.
    """
    from fettle.models.embedder import Embedder  # imports timm: seconds
    from fettle.models.timm_model import build_timm

    features = build_timm(backbone, 0, image_size=image_size, pretrained=pretrained, **options)
    return Embedder(features, classes, dimensions=dimensions, dropout=dropout, frozen=frozen)


@register("arcface", task="classify")
def classifier(classes: int, *, scale: float = SCALE, **options: Any) -> nn.Module:
    """Build the same network with its prototypes; see :class:`fettle.models.embedder.CosineClassifier`.

    Args:
        classes: Number of classes.
        scale: What cosines are multiplied by to become logits.
        **options: See :func:`arcface`.
    """
    from fettle.models.embedder import CosineClassifier  # imports timm: seconds

    return CosineClassifier(cast(Any, arcface(classes, **options)), scale=scale)
