"""The parts of a confirmation that need no server."""

import pytest

from fettle.errors import ServeError
from fettle.serve.confirm import mixed_batches
from fettle.serve.remote import remote_endpoints


@pytest.mark.parametrize("count", [0, 1, 7, 100])
@pytest.mark.parametrize("largest", [1, 4, 16, 64])
def test_batches_cover_every_image_once_in_several_sizes(count: int, largest: int) -> None:
    slices = list(mixed_batches(count, largest))
    assert [row for rows in slices for row in range(rows.start, rows.stop)] == list(range(count))
    sizes = {rows.stop - rows.start for rows in slices}
    assert not sizes or max(sizes) <= largest
    if count == 100 and largest > 1:
        assert len(sizes) > 2
        assert largest in sizes


def test_a_remote_triton_has_two_ports() -> None:
    assert remote_endpoints("localhost:8000") == ({"http": "localhost:8000", "grpc": "localhost:8001"},)
    assert remote_endpoints("http://127.0.0.1:80")[0]["grpc"] == "127.0.0.1:81"
    for wrong in ("triton", "triton:", ":8000", "triton:http"):
        with pytest.raises(ServeError, match=r"serve\.endpoint"):
            remote_endpoints(wrong)


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(ServeError, match=r"the name 'triton\.invalid' is not known"):
        remote_endpoints("triton.invalid:8000")
