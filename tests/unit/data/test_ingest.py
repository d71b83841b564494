import errno
import json
import random

import numpy as np
import pytest
from PIL import Image

from fettle.data import open_dataset
from fettle.errors import ArtifactError, DataError
from fettle.spec import DatasetConfig, SplitConfig
from fettle.steps.ingest import ingest

CLASSES = {"ok": 20, "bad": 12}


def run(source, out, *, image_size=16, **config):
    ingest(source, out, dataset=DatasetConfig(path=str(source), **config), image_size=image_size)
    return open_dataset(out)


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_rows_are_the_images(make_folder, tmp_path):
    source = make_folder(CLASSES)
    dataset = run(source, tmp_path / "out")
    assert dataset.classes == ("bad", "ok")
    assert len(dataset.records) == len(dataset.images) == 32
    for record, row in zip(dataset.records, dataset.images, strict=True):
        assert record.path.split("/")[0] == dataset.classes[record.label]
        assert (record.width, record.height) == (24, 20)
        original = Image.open(source / record.path).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(row, np.asarray(original))


def test_subsets_are_contiguous_disjoint_and_whole(make_folder, tmp_path):
    dataset = run(make_folder(CLASSES), tmp_path / "out")
    subsets = [dataset.subset(split) for split in ("train", "calib", "val", "test")]
    assert sum(len(subset) for subset in subsets) == 32
    assert len({path for subset in subsets for path in subset.paths}) == 32
    np.testing.assert_array_equal(np.concatenate([subset.images for subset in subsets]), dataset.images)
    for subset in subsets:
        assert subset.labels.dtype == np.int64
        assert isinstance(subset.images, np.memmap)
        assert dict(zip(dataset.classes, np.bincount(subset.labels), strict=True)) == dataset.counts[subset.name]
    assert len(dataset.subset("holdout")) == 0


def test_weights_and_statistics_are_those_of_the_images(make_folder, tmp_path):
    dataset = run(make_folder(CLASSES), tmp_path / "out")
    train = dataset.subset("train")
    counts = np.bincount(train.labels)
    np.testing.assert_allclose(dataset.class_weights, len(train) / (2 * counts))
    np.testing.assert_allclose(dataset.statistics["mean"], train.images.mean((0, 1, 2)) / 255, atol=1e-4)
    np.testing.assert_allclose(dataset.statistics["std"], train.images.std((0, 1, 2)) / 255, atol=1e-4)
    assert dataset.statistics["width"]["p50"] == 24
    assert dataset.statistics["aspect"]["mean"] == 1.2


def test_same_source_gives_the_same_artifact_and_is_not_changed(make_folder, tmp_path):
    source = make_folder(CLASSES)
    before = {file: file.read_bytes() for file in source.rglob("*.png")}
    digests = {run(source, tmp_path / name).artifact.card.digest for name in ("first", "second")}
    assert len(digests) == 1
    assert {file: file.read_bytes() for file in source.rglob("*") if file.is_file()} == before


def test_names_and_places_do_not_change_the_split(make_folder, tmp_path):
    source = make_folder(CLASSES)
    before = {record.sha256: record.split for record in run(source, tmp_path / "first").records}
    files = sorted(source.rglob("*.png"))
    for number, file in enumerate(random.Random(0).sample(files, len(files))):
        file.rename(file.with_name(f"renamed {number}.png"))
    after = run(source, tmp_path / "second")
    assert {record.sha256: record.split for record in after.records} == before
    np.testing.assert_array_equal(after.images, open_dataset(tmp_path / "first").images)


def test_odd_file_names(make_folder, tmp_path):
    source = make_folder(CLASSES)
    names = ["with space.png", "ünïcödé 图.png", "new\nline.png"]
    for number, name in enumerate(names):
        (source / "ok" / f"{number:03d}.png").rename(source / "ok" / name)
    dataset = run(source, tmp_path / "out")
    assert {f"ok/{name}" for name in names} <= {record.path for record in dataset.records}


def broken(source, *, share):
    """Break that share of the images in turn: empty, text, truncated, one pixel."""
    files = sorted(source.rglob("*.png"))
    whole = files[0].read_bytes()
    tiny = source.parent / "tiny.png"
    Image.new("RGB", (1, 1)).save(tiny)
    contents = [b"", b"no image", whole[: len(whole) // 2], tiny.read_bytes()]
    chosen = files[:: round(1 / share)]
    for number, file in enumerate(chosen):
        file.write_bytes(contents[number % 4])
    return chosen


def test_one_percent_broken_is_put_in_quarantine(make_folder, tmp_path, caplog):
    source = make_folder({"ok": 60, "bad": 40})
    (bad,) = broken(source, share=0.01)
    dataset = run(source, tmp_path / "out")
    assert len(dataset.records) == 99
    assert dataset.artifact.card.summary["broken"] == 1
    (entry,) = lines(tmp_path / "out" / "quarantine.jsonl")
    assert entry["path"] == bad.relative_to(source).as_posix()
    assert "not an image" in entry["reason"]
    assert "1 of 100 images" in caplog.text


def test_each_kind_of_breakage_has_its_reason(make_folder, tmp_path):
    source = make_folder({"ok": 20, "bad": 20})
    broken(source, share=0.1)
    run(source, tmp_path / "out", max_broken=0.5)
    reasons = " ".join(entry["reason"] for entry in lines(tmp_path / "out" / "quarantine.jsonl"))
    assert all(word in reasons for word in ("wrong magic", "cannot be decoded", "1x1"))


def test_too_many_broken_is_refused(make_folder, tmp_path):
    source = make_folder({"ok": 20, "bad": 20})
    broken(source, share=0.25)
    with pytest.raises(DataError, match=r"10 of 40 images.*'bad/000.png' is not an image.*max_broken=0.05"):
        run(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"source", "tiny.png"}


def test_all_broken_is_refused(make_folder, tmp_path):
    source = make_folder({"ok": 5, "bad": 5})
    broken(source, share=1)
    with pytest.raises(DataError, match=r"10 of 10 images.*None is left"):
        run(source, tmp_path / "out", max_broken=1)


def test_huge_image_is_not_decoded(make_folder, tmp_path):
    source = make_folder(CLASSES)
    Image.new("1", (20_000, 20_000)).save(source / "ok" / "huge.png")
    run(source, tmp_path / "out")
    (entry,) = lines(tmp_path / "out" / "quarantine.jsonl")
    assert entry["path"] == "ok/huge.png"
    assert "pixels" in entry["reason"]


def test_file_missing_from_a_table_is_put_in_quarantine(make_folder, tmp_path):
    source = make_folder(CLASSES)
    rows = [f"{file.relative_to(source)},{file.parent.name}" for file in source.rglob("*.png")]
    (source / "labels.csv").write_text("\n".join(["path,label", *rows, "absent.png,ok"]))
    dataset = run(source / "labels.csv", tmp_path / "out", layout="csv")
    assert len(dataset.records) == 32
    assert lines(tmp_path / "out" / "quarantine.jsonl")[0]["path"] == "absent.png"


def test_copies_never_cross_splits(make_folder, tmp_path):
    """Copies under another name, in another format, in another split of the source: one is kept."""
    source = make_folder({"train/ok": 20, "train/bad": 20, "test/ok": 5, "test/bad": 5})
    original = source / "test" / "ok" / "000.png"
    (source / "train" / "ok" / "again.png").write_bytes(original.read_bytes())
    Image.open(original).save(source / "train" / "ok" / "again.bmp")
    dataset = run(source, tmp_path / "out")
    assert len({record.sha256 for record in dataset.records}) == len(dataset.records) == 50
    report = json.loads((tmp_path / "out" / "duplicates.json").read_text())
    assert report["exact"] == [{"kept": "test/ok/000.png", "dropped": ["train/ok/again.bmp", "train/ok/again.png"]}]
    assert set(dataset.subset("test").paths) >= {"test/ok/000.png"}


def test_same_image_with_two_labels_is_refused(make_folder, tmp_path):
    source = make_folder(CLASSES)
    (source / "bad" / "copy.png").write_bytes((source / "ok" / "003.png").read_bytes())
    with pytest.raises(DataError, match=r"two labels: 'bad/copy.png' is 'bad' and 'ok/003.png' is 'ok'"):
        run(source, tmp_path / "out")


def with_look_alikes(source):
    """Beside each image one whose pixels differ by a grain of noise."""
    rng = np.random.default_rng(0)
    for file in sorted(source.rglob("*.png")):
        pixels = np.asarray(Image.open(file)).astype(int) + rng.integers(-2, 3, (20, 24, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file.with_name(f"like_{file.name}"))
    return source


@pytest.mark.parametrize("grouped", [False, True])
def test_look_alikes_are_reported_and_kept_together_on_request(make_folder, tmp_path, grouped, caplog):
    caplog.set_level("INFO", logger="fettle")
    source = with_look_alikes(make_folder(CLASSES))
    run(source, tmp_path / "out", group_near_duplicates=grouped)
    groups = json.loads((tmp_path / "out" / "duplicates.json").read_text())["near"]
    names = [{entry["path"].replace("like_", "") for entry in group} for group in groups]
    assert len(groups) == 32
    assert all(len(group) == 2 and len(name) == 1 for group, name in zip(groups, names, strict=True))
    crossing = sum(len({entry["split"] for entry in group}) > 1 for group in groups)
    assert (crossing == 0) == grouped
    assert ("look alike" in caplog.text) == (not grouped)


def test_one_class_is_refused(make_folder, tmp_path):
    with pytest.raises(DataError, match="one class only, 'ok'"):
        run(make_folder({"ok": 9}), tmp_path / "out")


def test_class_with_one_image_is_refused(make_folder, tmp_path):
    with pytest.raises(DataError, match=r"Class 'rare' has 1 distinct image"):
        run(make_folder({"ok": 9, "rare": 1}), tmp_path / "out")


def test_class_of_copies_counts_as_one_image(make_folder, tmp_path):
    source = make_folder({"ok": 9, "rare": 1})
    for number in range(9):
        (source / "rare" / f"copy{number}.png").write_bytes((source / "rare" / "000.png").read_bytes())
    with pytest.raises(DataError, match=r"Class 'rare' has 1 distinct image"):
        run(source, tmp_path / "out")


def test_grey_palette_alpha_deep_rotated_and_animated_together(make_folder, tmp_path):
    source = make_folder(CLASSES)
    image = Image.open(source / "ok" / "000.png")
    image.convert("L").save(source / "ok" / "grey.png")
    image.quantize(8).save(source / "ok" / "palette.png")
    image.convert("RGBA").rotate(30).save(source / "ok" / "alpha.png")
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160).save(source / "ok" / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(source / "ok" / "turned.jpg", exif=exif)
    image.rotate(180).save(source / "ok" / "moving.gif", save_all=True, append_images=[image])
    dataset = run(source, tmp_path / "out")
    sizes = {record.path: (record.width, record.height) for record in dataset.records}
    assert len(sizes) == 38
    assert sizes["ok/turned.jpg"] == (20, 24)
    assert dataset.statistics["notes"] == {"first of 2 frames": 1}


def test_shares_follow_the_spec(make_folder, tmp_path):
    source = make_folder({"ok": 40, "bad": 20})
    dataset = run(source, tmp_path / "out", split=SplitConfig(calib=0, val=0.25, test=0.25))
    assert dataset.counts == {
        "train": {"bad": 10, "ok": 20},
        "val": {"bad": 5, "ok": 10},
        "test": {"bad": 5, "ok": 10},
    }


def test_grid_can_be_looked_at(make_folder, tmp_path):
    run(make_folder({f"class {number}": 5 for number in range(30)}), tmp_path / "out")
    grid = Image.open(tmp_path / "out" / "grid.jpg")
    assert min(grid.size) > 500
    assert len(np.unique(np.asarray(grid))) > 100


@pytest.mark.parametrize("damage", ["truncate", "remove", "alter"])
def test_damaged_artifact_is_refused(make_folder, tmp_path, damage):
    run(make_folder(CLASSES), tmp_path / "out")
    images = tmp_path / "out" / "images.npy"
    content = images.read_bytes()
    images.unlink()
    if damage != "remove":
        images.write_bytes(content[:-100] if damage == "truncate" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=r"images\.npy"):
        open_dataset(tmp_path / "out")


def test_full_disk_is_said_and_leaves_nothing(make_folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    source = make_folder(CLASSES)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        run(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_other_artifact_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="not a Fettle artifact"):
        open_dataset(tmp_path)
