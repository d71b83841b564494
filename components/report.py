"""report: one HTML page of the run."""

from kfp.dsl import HTML, Artifact, Output

from components.base import Many


def report(
    artifacts: Many,
    out: Output[Artifact],
    page: Output[HTML],
    places: Output[Artifact],
    title: str,
    skipped: str,
    began: str = "",
):
    """Write the page, and where the artifacts and the exports are.

    ``skipped`` names the recipes that were left out, and why; ``began`` is when the run began.
    """
    import json
    from pathlib import Path

    from fettle.steps import run

    paths = [artifact.path for artifact in artifacts.values()]
    out.path, out.metadata, _ = run(
        "report", out.path, artifacts=paths, title=title, skipped=skipped, began=began or None
    )
    Path(page.path).symlink_to(f"{out.path}/index.html")
    found = {name: artifact.uri for name, artifact in artifacts.items()}
    for name, artifact in artifacts.items():
        if "export" in artifact.metadata:
            found[f"export-{name}"] = artifact.metadata["export"]
    Path(places.path).write_text(json.dumps(found))
