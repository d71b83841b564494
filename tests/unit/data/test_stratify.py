from collections import Counter

import numpy as np

from fettle.data.stratify import stratify

SHARES = {"test": 0.15, "val": 0.15, "calib": 0.1}


def scenes(count: int = 600, *, seed: int = 0) -> list[Counter[str]]:
    generator = np.random.default_rng(seed)
    odds = {"common": 0.6, "some": 0.2, "few": 0.05, "rare": 0.01}
    return [Counter(name for name, chance in odds.items() if generator.random() < chance) for _ in range(count)]


def table(held, splits):
    return Counter((name, split) for one, split in zip(held, splits, strict=True) for name in one or {"none": 1})


def test_every_class_and_the_background_are_spread_as_the_images_are():
    held = scenes()
    splits = stratify(held, [1] * len(held), SHARES)
    counts, totals = table(held, splits), table(held, ["all"] * len(held))
    for split, share in SHARES.items():
        assert abs(splits.count(split) - share * len(held)) <= 0.01 * len(held)
        for name in ("common", "some", "few", "rare", "none"):
            total = totals[name, "all"]
            assert abs(counts[name, split] - max(1, share * total)) <= max(1, 0.02 * total), (name, split)


def test_the_lot_would_do_worse():
    """The spread of the rare classes is what the method is for; a random split is the reference."""
    held = scenes()
    ours = table(held, stratify(held, [1] * len(held), SHARES))
    drawn = np.random.default_rng(1).choice(["train", "test", "val", "calib"], len(held), p=[0.6, 0.15, 0.15, 0.1])
    lot = table(held, drawn.tolist())
    total = table(held, ["all"] * len(held))

    def error(found):
        return sum(
            (found[name, split] - share * total[name, "all"]) ** 2 / total[name, "all"]
            for name in ("common", "some", "few", "rare")
            for split, share in SHARES.items()
        )

    assert error(ours) < 0.3 * error(lot)


def test_what_is_too_few_for_all_goes_to_train_first():
    held = [Counter(["odd"]), *scenes(60)]
    assert stratify(held, [1] * 61, SHARES)[0] == "train"


def test_units_count_by_their_images():
    held = [Counter({"a": 50})] + [Counter(["a"])] * 50
    splits = stratify(held, [50] + [1] * 50, {"test": 0.2, "val": 0.2})
    assert splits[0] == "train"
    assert Counter(splits[1:])["test"] == Counter(splits[1:])["val"] == 20
