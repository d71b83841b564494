"""The spec that ``fettle init`` writes."""

import json
import re

from fettle.data.inspection import FolderFacts

TEMPLATE = """\
# Written by `fettle init`; `fettle spec` explains every key, `fettle run` starts.
# {images} images, {width} x {height} pixels (median); {classes}.
name: {name}
dataset:
  path: {path}
  layout: {layout}{pattern}
model: {{family: resnet18, image_size: {image_size}}}
train: {{preset: defect, epochs: {epochs}}}
recipes:
  int8: [quantize]
  pruned: [prune: {{ratio: 0.3}}, finetune: {{epochs: 5}}]
  pruned-int8: [prune: {{ratio: 0.3}}, finetune: {{epochs: 5}}, quantize]
gates: {{max_drop: 0.01, class_floor: 0.8}}
serve: {{profile: balanced}}
"""
DETECTOR = """\
# Written by `fettle init`; `fettle spec` explains every key, `fettle run` starts.
# {images} images, {width} x {height} pixels (median); {classes}.
name: {name}
task: detect
dataset:
  path: {path}
  layout: {layout}
  resize: {resize}
model: {{family: yolov8, image_size: {image_size}}}
train: {{epochs: {epochs}}}
recipes:
  int8: [quantize]
  pruned-int8: [prune: {{ratio: 0.3}}, finetune: {{epochs: 10}}, quantize]
gates: {{max_drop: 0.02, class_floor: null}}
serve: {{profile: balanced}}
"""
TEMPLATES = {"classify": TEMPLATE, "detect": DETECTOR}
STEPS = 1500  # about what a small network needs from scratch
BATCH = 24


def starter(facts: FolderFacts) -> str:
    """Return the YAML of a spec for a folder that was looked at."""
    pattern = f"\n  label_pattern: {_quoted(facts.label_pattern)}" if facts.label_pattern else ""
    return TEMPLATES[facts.task].format(
        images=facts.images, width=facts.width[1], height=facts.height[1], classes=_classes(facts),
        name=re.sub(r"[^a-z0-9]+", "-", facts.path.resolve().name.lower()).strip("-")[:50].strip("-") or "images",
        path=json.dumps(str(facts.path), ensure_ascii=False), layout=facts.layout, pattern=pattern,
        resize="squash" if facts.square else "pad", image_size=facts.image_size,
        epochs=max(10, min(60, round(STEPS * BATCH / facts.images))),
    )  # fmt: skip


def describe(facts: FolderFacts) -> str:
    """Return what was seen, in a few lines."""
    lines = [
        f"{facts.images} images, task {facts.task}, layout {facts.layout}; {_classes(facts)}",
        f"width {' / '.join(map(str, facts.width))}, height {' / '.join(map(str, facts.height))} pixels (5, 50, 95%)",
    ]
    if facts.splits:
        lines.append("fixed splits: " + ", ".join(f"{name} {count}" for name, count in facts.splits.items()))
    if facts.imbalance > 1.5:
        lines.append(f"the largest class has {facts.imbalance:.1f} examples for one of the smallest")
    lines += facts.notes
    return "\n".join(lines)


def _classes(facts: FolderFacts) -> str:
    shown = [f"{name} {count}" for name, count in facts.classes.items()]
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return " ".join(f"{len(shown)} classes: {', '.join(shown[:8])}{more}".split())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
