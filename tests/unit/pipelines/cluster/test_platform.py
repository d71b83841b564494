"""Addresses of a platform, and the file that describes one."""

import pytest

from components.cluster.kube import ClusterError
from fettle.errors import SpecError
from fettle.spec import load_spec
from pipelines.cluster.platform import Platform, find_platform, in_cluster
from pipelines.cluster.submit import MADE_AT, Data, at_home, bring_data


@pytest.mark.parametrize(
    ("address", "service"),
    [
        ("ml-pipeline:8888", ("ml-pipeline", "", 8888)),
        ("http://fettle-minio.fettle.svc:9000", ("fettle-minio", "fettle", 9000)),
        ("triton.ns.svc.cluster.local:8000", ("triton", "ns", 8000)),
        ("https://minio.ns.svc", ("minio", "ns", 443)),
        ("https://kfp.example.com", None),
        ("https://s3.eu-west-1.amazonaws.com", None),
        ("http://localhost:8888", None),
        ("kfp.example.com:8888", None),
        ("http://10.0.0.7:9000", None),
    ],
)
def test_an_address_is_a_service_of_the_cluster_or_not(address, service):
    assert in_cluster(address) == service


def test_a_file_stands_for_the_address_book(tmp_path):
    file = tmp_path / "platform.yaml"
    file.write_text("kfp: ml-pipeline:8888\nimage: fettle/step:1\ns3-secret: keys\n")
    found = find_platform(None, file=file, endpoint="https://kfp.example.com")
    assert found == Platform(kfp="https://kfp.example.com", image="fettle/step:1", s3_secret="keys")
    file.write_text("kfp: x:1\n")
    with pytest.raises(ClusterError, match="nothing of image"):
        find_platform(None, file=file)
    for text in ("kpf: x\n", "- a\n", "a: [\n"):
        file.write_text(text)
        with pytest.raises(SpecError, match="--platform"):
            find_platform(None, file=file)


def test_a_model_goes_to_the_repository_of_the_platform_unless_the_spec_has_one():
    platform, data = (
        Platform(kfp="a:1", image="i", repository="s3://models", triton_pods="t:8000"),
        Data("/x", "sha256:1"),
    )
    home = at_home(load_spec(), platform, data)
    assert (home.serve.repository, home.serve.endpoint, home.dataset.path) == ("s3://models", "t:8000", "/x")
    own = load_spec(overrides=["serve.repository=s3://mine/here", "serve.endpoint=triton:9"])
    home = at_home(own, platform, data)
    assert (home.serve.repository, home.serve.endpoint) == ("s3://mine/here", "triton:9")
    without = Platform(kfp="a:1", image="i")
    with pytest.raises(SpecError, match="no model repository"):
        at_home(load_spec(), without, data)
    assert at_home(load_spec(overrides=["serve.approve=manual"]), without, data).serve.endpoint is None


def test_castings_are_made_by_the_pod(tmp_path):
    spec = load_spec(overrides=[f"dataset={{layout: castings, path: {tmp_path / 'castings'}, count: 20}}"])
    data = bring_data(spec, Platform(kfp="a:1", image="i"), {})
    assert (data.path, data.uploaded) == (MADE_AT, False)


def test_images_go_to_the_store_once(tmp_path, minio_environ):
    for label in ("ok", "bad"):
        (tmp_path / "images" / label).mkdir(parents=True)
        (tmp_path / "images" / label / "1.png").write_bytes(label.encode())
    spec = load_spec(overrides=[f"dataset.path={tmp_path / 'images'}"])
    platform = Platform(kfp="a:1", image="i", data=f"s3://models/{tmp_path.name}")
    first, second = (bring_data(spec, platform, minio_environ) for _ in range(2))
    assert first.path == f"{platform.data}/{first.content[7:23]}/images"
    assert (first.uploaded, second.uploaded) == (True, False)
    assert second.path == first.path
    there = bring_data(load_spec(overrides=[f"dataset.path={first.path}"]), platform, minio_environ)
    assert (there.path, there.uploaded) == (first.path, False)
    with pytest.raises(SpecError, match="where data go"):
        bring_data(spec, Platform(kfp="a:1", image="i"), minio_environ)
