"""Numbers as people say them, the same in gates, reasons, tables and reports."""

from collections.abc import Callable

from fettle.evaluate.intervals import Interval, PairedDifference


def percent(share: float) -> str:
    return f"{share:.1%}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, signed; never "-0.00"."""
    return f"{difference * 100 + 0.0:+.2f} points" if round(difference * 100, 2) else "0.00 points"


def points_between(before: float, after: float) -> str:
    """The way from one share to another, in percentage points."""
    return points(after - before)


def change(decimals: int) -> Callable[[float, float], str]:
    """Return what says the difference of two numbers, signed, with that many decimals; never "-0.00"."""
    return lambda before, after: f"{round(after - before, decimals) + 0.0:+.{decimals}f}"


def milliseconds(value: float) -> str:
    return f"{value:#.3g} ms" if value < 100 else f"{value:.0f} ms"


def megabytes(value: float) -> str:
    return f"{value:#.3g} MB" if value < 100 else f"{value:.0f} MB"


def rate(value: float) -> str:
    return f"{value:.0f} images/s" if value >= 10 else f"{value:.2g} images/s"


def speed(ratio: float) -> str:
    """What a ratio of times means: 0.5 is "2.0x faster", 1.2 is "20% slower"."""
    if max(ratio, 1 / ratio) >= 1.5:
        return f"{1 / ratio:.1f}x faster" if ratio < 1 else f"{ratio:.1f}x slower"
    return f"{1 - ratio:.0%} faster" if ratio < 1 else f"{ratio - 1:.0%} slower"


def size_change(ratio: float) -> str:
    if round(ratio, 2) == 1:
        return "as large"
    return f"{1 - ratio:.0%} smaller" if ratio < 1 else f"{ratio - 1:.0%} larger"


def time_ratio(interval: Interval) -> str:
    """A ratio of times with how sure it is."""
    bounds = f"{interval.low:.2f} to {interval.high:.2f}"
    return f"{speed(interval.estimate)} ({interval.confidence:.0%} interval of the ratio {bounds})"


def between(interval: Interval) -> str:
    """The interval of a share."""
    return f"{interval.confidence:.0%} interval {percent(interval.low)} to {percent(interval.high)}"


def difference(paired: PairedDifference) -> str:
    """A difference of scores with how sure it is."""
    interval = paired.interval
    if interval.low == interval.high == 0:
        return f"0.00 points (right and wrong on the same {paired.unit})"
    return (
        f"{points(interval.estimate)} ({interval.confidence:.0%} interval {interval.low * 100:+.2f} to "
        f"{interval.high * 100:+.2f}; {paired.unit} lost {paired.lost}, gained {paired.gained})"
    )
