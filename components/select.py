"""select: gates, the Pareto front and the pick of each profile."""

from kfp.dsl import Artifact, Input, Output

from components.base import Many


def select(
    validations: Many,
    benchmark: Input[Artifact],
    out: Output[Artifact],
    gates: str,
    profile: str,
    baselines: list = [],  # noqa: B006 - Kubeflow's default of a list
):
    """Decide which candidate is served, and say why."""
    from fettle.steps import run

    paths = [validation.path for validation in validations.values()]
    out.path, out.metadata, _ = run(
        "select",
        out.path,
        validations=paths,
        benchmark=benchmark.path,
        gates=gates,
        profile=profile,
        baselines=baselines,
    )
