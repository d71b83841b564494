"""Kubeflow Pipelines' API: submit, look, terminate, schedule."""

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
import urllib3
from kfp.dsl.base_component import BaseComponent
from kfp_server_api import ApiException, V2beta1Run

from components.cluster.kube import ClusterError
from pipelines.graph import write


@dataclass(frozen=True)
class Service:
    """A Kubeflow Pipelines server.

    Attributes:
        url: Where it is reached from here.
        client: Its client.
    """

    url: str
    client: kfp.Client

    def submit(self, pipeline: BaseComponent | Mapping[str, Any], *, experiment: str, name: str) -> str:
        """Start a run and return its id; tasks whose work was done before are taken from the cache.

        Args:
            pipeline: A pipeline, or its ``pipeline_spec`` and ``platform_spec``.
            experiment: Kubeflow's name for runs that belong together.
            name: Of the run.
        """
        with self._explained(), _compiled(pipeline) as file:
            made = self.client.create_run_from_pipeline_package(str(file), experiment_name=experiment, run_name=name)
        return str(made.run_id)

    def schedule(self, pipeline: BaseComponent, *, experiment: str, name: str, cron: str) -> str:
        """Start a run at every time that ``cron`` names (seconds first), one at a time; return the schedule's id."""
        with self._explained(), _compiled(pipeline) as file:
            group = self.client.create_experiment(experiment)
            made = self.client.create_recurring_run(
                group.experiment_id, name, cron_expression=cron, pipeline_package_path=str(file), no_catchup=True
            )
        return str(made.recurring_run_id)

    def run(self, run_id: str) -> V2beta1Run:
        """Return what the server knows of a run.

        Raises:
            ClusterError: If it knows none of that id, or does not answer.
        """
        with self._explained(absent=f"knows no run {run_id!r}: was it deleted, or is it of another cluster?"):
            return self.client.get_run(run_id)

    def terminate(self, run_id: str) -> None:
        """Stop a run; its pods are removed."""
        with self._explained():
            self.client.terminate_run(run_id)

    @contextlib.contextmanager
    def _explained(self, absent: str = "") -> Iterator[None]:
        """Turn what the client raises into one sentence, and keep its links to this address to ourselves."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except ApiException as error:
            if absent and error.status == 404:
                raise ClusterError(f"Kubeflow Pipelines {absent}") from None
            raise ClusterError(f"Kubeflow Pipelines refused (HTTP {error.status}): {_message(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"Kubeflow Pipelines does not answer at {self.url}: {error}") from None


def open_service(url: str) -> Service:
    """Return the server at ``url``.

    Raises:
        ClusterError: If none answers there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        service = Service(url, kfp.Client(host=url))
    with service._explained():
        service.client.list_experiments(page_size=1)
    return service


@contextlib.contextmanager
def _compiled(pipeline: BaseComponent | Mapping[str, Any]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        if isinstance(pipeline, Mapping):  # JSON is YAML
            file.write_text("\n---\n".join(json.dumps(pipeline[part]) for part in ("pipeline_spec", "platform_spec")))
        else:
            write(pipeline, file)
        yield file


def _message(error: ApiException) -> str:
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        body: Any = json.loads(error.body)
        return str(body.get("message") or body.get("error_message"))
    return str(error.reason)
