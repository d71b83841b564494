"""What the pod of each task gets: image, resources, the store's credentials, writable folders."""

from collections.abc import Callable, Sequence

from kfp import dsl, kubernetes

from components.trainjob.step import VARIABLE as TRAINJOB
from fettle.spec import ClusterConfig, PodConfig
from fettle.spec.cluster import SHARED_STEPS
from fettle.storage import KEYS
from pipelines.cluster.machines import launcher, machines
from pipelines.cluster.platform import Platform
from pipelines.graph import Dress
from pipelines.offline import offline
from pipelines.plan import Task

# Steps that open the store by themselves; what else a step needs, Kubeflow brings.
STORE_STEPS = {"ingest", "promote", "confirm"}
# Steps that keep unfinished work there, so that another attempt goes on with it.
WORK_STEPS = {"tune", "gather", "train", "finetune"}
# What these say is of the moment: whether the version is served now, and how long this run took.
NEVER_CACHED = {"confirm", "report"}


def dresser(platform: Platform, config: ClusterConfig, *, pretrained: bool = False, look_again: bool = False) -> Dress:
    """Return what puts the settings of a spec and a platform on each node.

    Args:
        platform: Where it will run.
        config: Section ``cluster`` of the spec.
        pretrained: Let tasks download weights, because the spec says so.
        look_again: Never take the data set from the cache.
    """
    uncached = NEVER_CACHED | ({"ingest"} if look_again else set())

    def dress(tasks: Sequence[Task], node: dsl.PipelineTask) -> None:
        node.set_container_image(platform.image)
        for name, value in offline(pretrained=pretrained).items():
            node.set_env_variable(name, value)
        steps = {task.step for task in tasks}
        if steps & WORK_STEPS and platform.work:
            node.set_env_variable("FETTLE_WORK", platform.work)
        if steps & STORE_STEPS or (steps & WORK_STEPS and platform.work):
            _open_store(node, platform)
        if steps & uncached or any("approval" in task.settings for task in tasks):  # a person says: now
            node.set_caching_options(False)
        _restrict(node)
        _give(node, _spread(tasks, node))

    def _spread(tasks: Sequence[Task], node: dsl.PipelineTask) -> PodConfig:
        """Say in how many processes a task trains; return what its pod gets."""
        pod = config.pod(tasks[0].step)
        trained = next((task.settings["train"] for task in tasks if task.step in SHARED_STEPS), None)
        if trained is not None and pod.nodes > 1:
            asked = machines(platform, config, pod, train=trained, env=offline(pretrained=pretrained))
            node.set_env_variable(TRAINJOB, asked.to_text())
            return launcher(pod)
        if trained is not None and pod.gpu > 1:
            node.set_env_variable("FETTLE_PROCESSES", str(pod.gpu))
        return pod

    return dress


def sharer(config: ClusterConfig) -> Callable[[Task, Task], bool]:
    """Return what tells whether two tasks may share a pod: they need the same, and are cached alike."""

    def may_share(one: Task, other: Task) -> bool:
        alike = (one.step in NEVER_CACHED) == (other.step in NEVER_CACHED)
        return config.share_pods and alike and config.pod(one.step) == config.pod(other.step)

    return may_share


def _open_store(node: dsl.PipelineTask, platform: Platform) -> None:
    for name, value in platform.store_variables.items():
        node.set_env_variable(name, value)
    if platform.s3_secret:
        kubernetes.use_secret_as_env(node, secret_name=platform.s3_secret, secret_key_to_env={key: key for key in KEYS})


def _restrict(node: dsl.PipelineTask) -> None:
    """Ask for no more than Pod Security *restricted* grants; with /tmp, the root file system may be read-only."""
    kubernetes.set_security_context(node, run_as_non_root=True)
    kubernetes.empty_dir_mount(node, volume_name="tmp", mount_path="/tmp")


def _give(node: dsl.PipelineTask, pod: PodConfig) -> None:
    node.set_cpu_request(pod.millicores).set_memory_request(pod.memory)
    if pod.memory_limit:
        node.set_memory_limit(pod.memory_limit)
    if pod.gpu:
        node.set_accelerator_type(pod.gpu_resource).set_accelerator_limit(pod.gpu)
    for key, value in pod.node_selector.items():
        kubernetes.add_node_selector(node, label_key=key, label_value=value)
    for taint in pod.tolerations:
        kubernetes.add_toleration(node, **taint.model_dump(exclude_none=True))
    kubernetes.empty_dir_mount(node, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=pod.shm)
    if pod.retries:
        node.set_retry(pod.retries, backoff_duration="5s")
    if pod.timeout_seconds:
        kubernetes.set_timeout(node, pod.timeout_seconds)
