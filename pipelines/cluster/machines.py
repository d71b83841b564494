"""Where several processes train together: in a pod that has several devices, or on several machines by a TrainJob."""

from collections.abc import Callable, Iterator, Mapping

from kubernetes.client import (
    ApiException,
    AuthorizationV1Api,
    CustomObjectsApi,
    V1LocalSubjectAccessReview,
    V1ObjectMeta,
    V1ResourceAttributes,
    V1SubjectAccessReviewSpec,
)

from components.cluster.kube import TIMEOUT, ClusterError, Kube, tolerated
from components.trainjob.manifest import GROUP, PLURAL, VERSION, Machines
from fettle.errors import SpecError
from fettle.spec import ClusterConfig, PodConfig, Spec, TrainConfig
from fettle.spec.cluster import SHARED_STEPS
from fettle.spec.recipes import FinetuneConfig
from pipelines.cluster.platform import Platform

RUNNER = "pipeline-runner"  # service account of the steps, as the chart and Kubeflow name it
OF_MACHINE = ("nodes", "cpu", "memory", "memory_limit", "gpu", "gpu_resource", "node_selector", "tolerations", "shm")


def machines(
    platform: Platform, config: ClusterConfig, pod: PodConfig, *, train: Mapping[str, object], env: Mapping[str, str]
) -> Machines:
    """Return what a step on several nodes asks for.

    Args:
        platform: Where it will run.
        config: Section ``cluster`` of the spec.
        pod: What each of its machines gets.
        train: Section ``train`` of the step's settings.
        env: Variables of every step.

    Raises:
        SpecError: If the platform has no store, through which the machines get their data.
    """
    if not platform.work:
        raise SpecError("The platform says not where data go (`data`): steps on several nodes need a store.")
    limits = {"memory": pod.memory_limit, pod.gpu_resource: str(pod.gpu) if pod.gpu else None}
    return Machines(
        nodes=pod.nodes,
        processes=_processes(pod, train),
        image=platform.image,
        jobs=f"{platform.work}/trainjobs",
        resources={
            "requests": {"cpu": pod.millicores, "memory": pod.memory},
            "limits": {name: value for name, value in limits.items() if value},
        },
        runtime=config.training_runtime,
        env={**env, **platform.store_variables},
        secret=platform.s3_secret,
        node_selector=pod.node_selector,
        tolerations=[taint.model_dump(exclude_none=True) for taint in pod.tolerations],
        shm=pod.shm,
        seconds=pod.timeout_seconds,
    )


def launcher(pod: PodConfig) -> PodConfig:
    """Return the pod of a step that runs on several machines: it makes the TrainJob and waits."""
    return PodConfig(**pod.model_dump(exclude=set(OF_MACHINE)), memory="1Gi")


def check_spec(spec: Spec) -> None:
    """Refuse what several processes cannot train.

    Raises:
        SpecError: If a family trains in one process, or a batch does not split.
    """
    for step, train, family in _trainings(spec):
        pod = spec.cluster.pod(step)
        count = pod.nodes * _processes(pod, train.to_json())
        if count > 1:
            from fettle.train.team import check_batch  # torch, which takes seconds
            from fettle.train.trainers import check_shareable

            check_shareable(family, count)
            check_batch(train, count)


def check_cluster(spec: Spec, kube: Kube) -> None:
    """Refuse a spec that asks for several nodes where there is no Trainer that the steps may use.

    Raises:
        ClusterError: If so, with the remedy.
    """
    wanted = [step for step in SHARED_STEPS if spec.cluster.pod(step).nodes > 1]
    if not wanted:
        return
    key = f"`cluster.steps.{wanted[0]}.nodes` is {spec.cluster.pod(wanted[0]).nodes}"
    objects = CustomObjectsApi(kube.api)
    if _missing(kube, lambda: objects.get_api_resources(GROUP, VERSION, _request_timeout=TIMEOUT)):
        raise ClusterError(
            f"{key}, but this cluster has no {PLURAL}.{GROUP}: install Kubeflow's Trainer (2.2 or newer), or set it to "
            "1."
        )
    runtime, plural = spec.cluster.training_runtime, "clustertrainingruntimes"
    if _missing(
        kube, lambda: objects.get_cluster_custom_object(GROUP, VERSION, plural, runtime, _request_timeout=TIMEOUT)
    ):
        raise ClusterError(
            f"{key}, but this cluster has no ClusterTrainingRuntime {runtime!r}: set cluster.training_runtime to one "
            "that `kubectl get clustertrainingruntimes` shows."
        )
    if not _runner_may(kube):
        raise ClusterError(
            f"{key}, but service account {RUNNER!r} may not create TrainJobs in namespace {kube.namespace!r}: "
            "`helm upgrade` the chart with pipelines.trainJobs=true."
        )


def _trainings(spec: Spec) -> Iterator[tuple[str, TrainConfig, str]]:
    for network in (spec, *spec.members.values()):
        yield "train", network.train, network.model.family
        steps = (step for recipe in network.recipes.values() for step in recipe)
        if any(isinstance(step.config, FinetuneConfig) for step in steps):
            yield "finetune", network.train, network.model.family


def _processes(pod: PodConfig, train: Mapping[str, object]) -> int:
    trainer = train.get("trainer")
    devices = trainer.get("devices") if isinstance(trainer, Mapping) else None
    return devices if isinstance(devices, int) and devices > 0 else max(pod.gpu, 1)


def _missing(kube: Kube, ask: Callable[[], object]) -> bool:
    """Tell whether what is asked for is not there; what may not be seen is taken to be there."""
    with kube.explained():
        try:
            ask()
        except ApiException as error:
            if error.status == 404:
                return True
            if error.status != 403:
                raise
    return False


def _runner_may(kube: Kube) -> bool:
    """Tell whether the steps' account may create TrainJobs; who may not ask is told by the step."""
    asked = V1SubjectAccessReviewSpec(
        user=f"system:serviceaccount:{kube.namespace}:{RUNNER}",
        resource_attributes=V1ResourceAttributes(namespace=kube.namespace, verb="create", group=GROUP, resource=PLURAL),
    )
    review = V1LocalSubjectAccessReview(spec=asked, metadata=V1ObjectMeta(namespace=kube.namespace))
    with kube.explained(), tolerated(403):
        answer = AuthorizationV1Api(kube.api).create_namespaced_local_subject_access_review(
            kube.namespace, review, _request_timeout=TIMEOUT
        )
        return bool(answer.status.allowed)
    return True
