"""confirm: the served model gives the offline answers."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import Many


def confirm(validations: Many, promotion: Input[Artifact], dataset: Input[Dataset], out: Output[Artifact], serve: str):
    """Send every test image by HTTP and gRPC and compare the answers."""
    from fettle.steps import run

    paths = [validation.path for validation in validations.values()]
    out.path, out.metadata, _ = run(
        "confirm", out.path, promotion=promotion.path, validations=paths, dataset=dataset.path, serve=serve
    )
