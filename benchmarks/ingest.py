"""What decoding once saves: an epoch from the dataset artifact against an epoch from the files.

    python benchmarks/ingest.py [--images 300] [--image-size 112]

Both orders are shuffled and run in one thread, as a loader's worker does; the files are in the page cache.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fettle.data import open_dataset
from fettle.data.castings import make_casting
from fettle.data.decode import decode
from fettle.data.resize import resize
from fettle.spec import DatasetConfig
from fettle.steps.ingest import ingest

SIDES = {"castings": 128, "photographs": 1024}


def main() -> None:
    arguments = _arguments()
    print(f"{'source':<22}{'ingest':>12}{'files':>14}{'artifact':>14}{'gain':>8}")
    for name, side in SIDES.items():
        with tempfile.TemporaryDirectory() as folder:
            source = write_source(Path(folder) / "source", count=arguments.images, side=side)
            print(f"{name + f' {side} px':<22}{row(source, Path(folder) / 'dataset', image_size=arguments.image_size)}")


def row(source: Path, out: Path, *, image_size: int) -> str:
    """Ingest the source, time an epoch both ways, and write the rates in images a second."""
    ingesting = seconds(lambda: ingest(source, out, dataset=DatasetConfig(), image_size=image_size))
    dataset = open_dataset(out)
    order = np.random.default_rng(0).permutation(len(dataset.records))

    def from_files() -> None:
        for index in order:
            resize(decode(source / dataset.records[index].path).pixels, image_size)

    def from_artifact() -> None:
        for index in order:
            np.array(dataset.images[index])

    count, files, artifact = len(order), seconds(from_files), seconds(from_artifact)
    rates = f"{count / ingesting:>10.0f}/s{count / files:>12.0f}/s{count / artifact:>12.0f}/s"
    return f"{rates}{files / artifact:>7.0f}x"


def write_source(folder: Path, *, count: int, side: int) -> Path:
    """Write castings, enlarged to ``side`` pixels, as JPEG files."""
    for index in range(count):
        casting = make_casting(index)
        (folder / casting.label).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(casting.image).resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / casting.label / f"{index}.jpg", quality=93)
    return folder


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300, help="images a source")
    parser.add_argument("--image-size", type=int, default=112, help="side of the stored images in pixels")
    return parser.parse_args()


if __name__ == "__main__":
    main()
