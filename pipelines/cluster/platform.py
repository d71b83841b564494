"""What `fettle submit` has to know about an installation: the ConfigMap that its chart writes, or a file like it."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from components.cluster.kube import ClusterError, Kube
from fettle.errors import SpecError
from pipelines.cluster.forward import forward

ADDRESS_BOOK = "fettle-platform"


@dataclass(frozen=True)
class Platform:
    """The address book. An address is ``service:port`` in the namespace, a host of the cluster, or a URL.

    Attributes:
        kfp: Kubeflow Pipelines' API.
        image: Image of the steps.
        ui: Kubeflow Pipelines' UI; empty where there is none.
        s3_endpoint: The object store, as pods reach it; empty is AWS itself.
        s3_region: Its region.
        s3_secret: Secret with the store's keys; empty where the pods' service account has the rights.
        data: Where local data are uploaded to.
        repository: Triton's model repository.
        triton: Where clients of the served model ask.
        triton_pods: Every single Triton, to confirm on each.
    """

    kfp: str
    image: str
    ui: str = ""
    s3_endpoint: str = ""
    s3_region: str = ""
    s3_secret: str = ""
    data: str = ""
    repository: str = ""
    triton: str = ""
    triton_pods: str = ""

    @property
    def work(self) -> str:
        """Where steps keep what is unfinished; empty where data go nowhere."""
        return f"{self.data.rstrip('/')}/work" if self.data else ""

    @property
    def store_variables(self) -> dict[str, str]:
        """Variables by which pods reach the object store, beside its keys."""
        given = {"AWS_ENDPOINT_URL_S3": self.s3_endpoint, "AWS_REGION": self.s3_region}
        return {name: value for name, value in given.items() if value}


def find_platform(kube: Kube, *, file: Path | None = None, endpoint: str = "") -> Platform:
    """Return the platform of a namespace.

    Args:
        kube: Where to look for it.
        file: YAML with the keys of the ConfigMap, for an installation without our chart.
        endpoint: Kubeflow Pipelines' API; beats what the address book says.

    Raises:
        ClusterError: If there is none, or it lacks a key.
        SpecError: If ``file`` cannot be used.
    """
    if file is not None:
        return _platform({**_read(file), **({"kfp": endpoint} if endpoint else {})}, str(file))
    found = kube.config_map(ADDRESS_BOOK)
    if found is None:
        raise ClusterError(
            f"There is no Fettle in namespace {kube.namespace!r} of context {kube.context!r} (ConfigMap "
            f"{ADDRESS_BOOK!r}): `helm install fettle helm/fettle`, choose --namespace, or describe what is there by "
            "--platform."
        )
    return _platform({**found, **({"kfp": endpoint} if endpoint else {})}, f"ConfigMap {ADDRESS_BOOK}")


@contextlib.contextmanager
def reach(kube: Kube, address: str) -> Iterator[str]:
    """Yield a URL that reaches ``address`` from here, through a port-forward where it is a Service of the cluster.

    Raises:
        ClusterError: If the Service is not there or not ready.
    """
    service = in_cluster(address)
    if service is None:
        yield address if "://" in address else f"http://{address}"
        return
    name, namespace, port = service
    with forward(kube, name, port, namespace=namespace) as local:
        yield f"http://{local}"


def in_cluster(address: str) -> tuple[str, str, int] | None:
    """Return a Service's name, namespace (empty: our own) and port, ``None`` for an address outside of the cluster."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    match = re.fullmatch(r"([a-z0-9-]+)(?:\.([a-z0-9-]+)\.svc(?:\..+)?)?", parts.hostname or "")
    if not match or parts.hostname == "localhost" or ("://" in address and not match[2]):
        return None
    return match[1], match[2] or "", parts.port or (443 if parts.scheme == "https" else 80)


def _platform(values: Mapping[str, str], source: str) -> Platform:
    given = {field.name: values.get(field.name.replace("_", "-"), "") for field in fields(Platform)}
    if missing := [name for name in ("kfp", "image") if not given[name]]:
        raise ClusterError(f"{source} says nothing of {' and '.join(missing)}.")
    return Platform(**given)


def _read(file: Path) -> Mapping[str, str]:
    try:
        values = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SpecError(f"--platform {file} cannot be read: {' '.join(str(error).split())}") from None
    known = [field.name.replace("_", "-") for field in fields(Platform)]
    if not isinstance(values, dict) or set(values) - set(known):
        raise SpecError(f"--platform {file}: its keys are {', '.join(known)}.")
    return {key: str(value or "") for key, value in values.items()}
