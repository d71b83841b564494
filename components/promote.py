"""promote: the winner into the Triton model repository."""

from kfp.dsl import Artifact, Input, Output

from components.base import Many


def promote(
    exports: Many, selection: Input[Artifact], out: Output[Artifact], name: str, serve: str, approval: str = ""
):
    """Publish the winner, or what a person approved, as a new version; the last write is the commit."""
    from fettle.steps import run

    paths = list(dict.fromkeys(export.path for export in exports.values()))
    out.path, out.metadata, _ = run(
        "promote",
        out.path,
        selection=selection.path,
        exports=paths,
        name=name,
        serve=serve,
        sign_off=approval or None,
        refusal="record",
    )
