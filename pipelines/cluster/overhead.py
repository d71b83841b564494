"""What the pods of a run cost beside its work."""

from collections.abc import Mapping

from pipelines.cluster.progress import Step


def overhead_table(steps: Mapping[str, Step], work: Mapping[str, float]) -> str:
    """Return a table: of each task that ran, its seconds from driver to end, those of its work, and the rest.

    Args:
        steps: The tasks of a run.
        work: Seconds of work by task.
    """
    rows = [(step.name, step.seconds, work[step.name]) for step in steps.values() if step.name in work]
    if not rows:
        return ""
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    width = max(len("task"), *(len(row[0]) for row in rows))
    lines = [f"{'task':<{width}}  {'seconds':>8}  {'work':>8}  {'pods':>8}"]
    lines += [f"{name:<{width}}  {all_:8.0f}  {own:8.1f}  {max(0, all_ - own):8.1f}" for name, all_, own in rows]
    return "\n".join(lines) + "\n"
