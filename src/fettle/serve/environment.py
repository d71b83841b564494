"""Where the local Triton lies: the ``nvidia-pytriton`` wheel in an environment of its own."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import fettle
from fettle.errors import ServeError

PACKAGE = Path(fettle.__file__).resolve().parent
VENV = ".venv-triton"
REMEDY = "run `make venv-triton`, or set FETTLE_TRITON to an environment that has nvidia-pytriton"
BACKENDS = ("onnxruntime", "openvino")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass(frozen=True)
class TritonEnvironment:
    """An environment with the Triton server of ``nvidia-pytriton``."""

    root: Path
    site: Path

    @property
    def binary(self) -> Path:
        return self.site / "pytriton/tritonserver/bin/tritonserver"

    @property
    def caches(self) -> Path:
        return self.site / "pytriton/tritonserver/caches"

    @property
    def stub(self) -> Path:
        """The interpreter's part of the python backend, for this environment's Python."""
        version = self.site.parent.name.removeprefix("python")
        return self.site / f"pytriton/tritonserver/python_backend_stubs/{version}/triton_python_backend_stub"

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that the server needs beside ``environ``.

        The stub takes the first ``python3`` on PATH, and finds the wheel's libraries only by LD_LIBRARY_PATH.
        """
        libraries = [str(self.site / "nvidia_pytriton.libs"), environ.get("LD_LIBRARY_PATH", "")]
        return {
            **{name: value for name, value in environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")},
            "PATH": f"{self.root / 'bin'}:{environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
        }

    def write_backends(self, folder: Path) -> None:
        """Make a backend directory: the wheel's python backend, and ours with the little of Fettle that it needs.

        All is copied: Triton refuses links that leave its backend directory, and the stub ignores PYTHONPATH
        but looks for modules beside ``model.py``.
        """
        python = folder / "python"
        shutil.copytree(self.site / "pytriton/tritonserver/backends/python", python)
        shutil.copy2(self.stub, python)
        for name in BACKENDS:
            library = folder / name / "fettle"
            shutil.copytree(PACKAGE / "runtimes", library / "runtimes")
            for module in ("__init__.py", "errors.py"):
                shutil.copy2(PACKAGE / module, library)
            shutil.copy2(PACKAGE / "serve/backend/model.py", folder / name)


def find_triton(environ: Mapping[str, str] = os.environ) -> TritonEnvironment:
    """Find the environment: $FETTLE_TRITON, else ``.venv-triton`` in or above this folder or beside the project.

    Raises:
        ServeError: If there is none, or it is incomplete.
    """
    here, project = Path.cwd(), PACKAGE.parents[1]
    given = environ.get("FETTLE_TRITON")
    places = [Path(given)] if given else [folder / VENV for folder in (here, *here.parents, project)]
    root = next((place.absolute() for place in places if place.is_dir()), None)
    if root is None:
        raise ServeError(f"There is no Triton at {places[0]}: {REMEDY}.")
    site = next(iter(sorted(root.glob("lib/python3*/site-packages"))), root)
    found = TritonEnvironment(root, site)
    for file in (found.binary, found.stub):
        if not file.is_file():
            raise ServeError(f"{root} has no {file.name}: {REMEDY}.")
    return found


def triton_url(repository: str, environ: Mapping[str, str]) -> str:
    """Return a model repository's URL as Triton writes it: ``s3://http://host:9000/bucket/prefix``."""
    if not repository.startswith("s3://"):
        return str(Path(repository).absolute())
    endpoint = next((environ[name] for name in ENDPOINTS if environ.get(name)), "")
    if not endpoint:
        return repository
    parts = urlsplit(endpoint)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"s3://{parts.scheme}://{parts.hostname}:{port}/{repository.removeprefix('s3://')}"
