"""report: one HTML page of the run."""

from kfp.dsl import HTML, Artifact, Output

from components.base import Many


def report(
    artifacts: Many, out: Output[Artifact], page: Output[HTML], places: Output[Artifact], title: str, skipped: str
):
    """Write the page, and where each artifact is; ``skipped`` names the recipes that were left out, and why."""
    import json
    from pathlib import Path

    from fettle.steps import run

    paths = [artifact.path for artifact in artifacts.values()]
    out.path, out.metadata, _ = run("report", out.path, artifacts=paths, title=title, skipped=skipped)
    Path(page.path).symlink_to(f"{out.path}/index.html")
    Path(places.path).write_text(json.dumps({name: artifact.uri for name, artifact in artifacts.items()}))
