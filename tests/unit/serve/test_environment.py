"""Where Triton is looked for, and how a repository's URL is written for it."""

from pathlib import Path

import pytest

from fettle.errors import ServeError
from fettle.serve.environment import find_triton, triton_url


def install(root: Path, *, stub: bool = True) -> Path:
    """Make an environment that looks like one with nvidia-pytriton."""
    triton = root / "lib/python3.11/site-packages/pytriton/tritonserver"
    for file in ("bin/tritonserver", "backends/python/libtriton_python.so"):
        (triton / file).parent.mkdir(parents=True)
        (triton / file).touch()
    if stub:
        (triton / "python_backend_stubs/3.11").mkdir(parents=True)
        (triton / "python_backend_stubs/3.11/triton_python_backend_stub").touch()
    return root


def test_the_variable_beats_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, other = install(tmp_path / "project/.venv-triton"), install(tmp_path / "other")
    (tmp_path / "project/deep").mkdir()
    monkeypatch.chdir(tmp_path / "project/deep")
    assert find_triton({}).root == here
    assert find_triton({"FETTLE_TRITON": str(other)}).root == other


def test_a_missing_triton_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="make venv-triton"):
        find_triton({"FETTLE_TRITON": str(tmp_path / "absent")})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServeError, match="has no tritonserver: run `make venv-triton`"):
        find_triton({"FETTLE_TRITON": str(tmp_path / "empty")})
    with pytest.raises(ServeError, match="no triton_python_backend_stub"):
        find_triton({"FETTLE_TRITON": str(install(tmp_path / "half", stub=False))})


def test_its_python_and_libraries_come_first(tmp_path: Path) -> None:
    found = find_triton({"FETTLE_TRITON": str(install(tmp_path / "env"))})
    variables = found.variables({"PATH": "/bin", "LD_LIBRARY_PATH": "/lib", "PYTHONHOME": "/x", "AWS_REGION": "here"})
    assert variables["PATH"] == f"{found.root}/bin:/bin"
    assert variables["LD_LIBRARY_PATH"] == f"{found.site}/nvidia_pytriton.libs:/lib"
    assert variables["AWS_REGION"] == "here"
    assert "PYTHONHOME" not in variables


def test_backends_carry_what_they_import(tmp_path: Path) -> None:
    found = find_triton({"FETTLE_TRITON": str(install(tmp_path / "env"))})
    found.write_backends(tmp_path / "backends")
    written = {file.relative_to(tmp_path / "backends").as_posix() for file in (tmp_path / "backends").rglob("*.*")}
    for name in ("onnxruntime", "openvino"):
        assert {f"{name}/model.py", f"{name}/fettle/errors.py", f"{name}/fettle/runtimes/engine.py"} <= written
    assert "python/libtriton_python.so" in written
    assert (tmp_path / "backends/python/triton_python_backend_stub").is_file()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:9000", "s3://http://127.0.0.1:9000/bucket/prefix"),
        ("https://s3.example.org", "s3://https://s3.example.org:443/bucket/prefix"),
        ("", "s3://bucket/prefix"),
    ],
)
def test_s3_urls_name_the_endpoint(endpoint: str, url: str) -> None:
    assert triton_url("s3://bucket/prefix", {"AWS_ENDPOINT_URL_S3": endpoint}) == url


def test_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert triton_url("runs/repository", {}) == str(tmp_path / "runs/repository")
