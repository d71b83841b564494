import io
import zlib

import numpy as np
import pytest
from PIL import Image

from fettle.data.decode import UnreadableImageError, decode


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    stream.seek(0)
    return stream


def test_rgb_is_read_as_it_is(picture):
    pixels = picture(1)
    photo = decode(encoded(Image.fromarray(pixels)))
    assert photo.notes == ()
    np.testing.assert_array_equal(photo.pixels, pixels)


def test_grey_is_repeated_in_three_channels(picture):
    grey = picture(1)[..., 0]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(grey))).pixels, np.dstack([grey] * 3))


def test_16_bit_keeps_its_scale():
    ramp = (np.arange(16 * 16, dtype=np.uint16) * 257).reshape(16, 16)
    pixels = decode(encoded(Image.fromarray(ramp))).pixels
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[..., 1], np.arange(256, dtype=np.uint8).reshape(16, 16))


def test_16_bit_pgm_keeps_its_scale():
    ramp = (np.arange(16 * 16, dtype=">u2") * 257).tobytes()
    pixels = decode(io.BytesIO(b"P5\n16 16\n65535\n" + ramp)).pixels
    np.testing.assert_array_equal(pixels[..., 0], np.arange(256, dtype=np.uint8).reshape(16, 16))


def test_palette_is_looked_up(picture):
    image = Image.fromarray(picture(1)).quantize(16)
    np.testing.assert_array_equal(decode(encoded(image)).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode):
    image = Image.new(mode, (10, 10), (0,) * (len(mode) - 1) + (0,))
    assert (decode(encoded(image)).pixels == 255).all()


def test_half_transparent_black_is_grey_over_white():
    pixels = decode(encoded(Image.new("RGBA", (10, 10), (0, 0, 0, 128)))).pixels
    assert set(np.unique(pixels)) == {127}


def test_transparent_palette_is_laid_over_white():
    image = Image.new("P", (10, 10), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    assert (decode(encoded(image, transparency=0)).pixels == 255).all()


def test_cmyk_becomes_rgb():
    pixels = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")).pixels
    assert pixels[0, 0, 0] > 200
    assert pixels[0, 0, 1:].max() < 60


def test_exif_orientation_is_applied(picture):
    pixels = picture(1, size=(24, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a quarter
    photo = decode(encoded(Image.fromarray(pixels), exif=exif))
    np.testing.assert_array_equal(photo.pixels, np.rot90(pixels, -1))


def test_first_frame_of_an_animation_is_taken_and_noted():
    frames = [Image.new("RGB", (12, 12), colour) for colour in ("red", "blue", "green")]
    photo = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert photo.notes == ("first of 3 frames",)
    assert tuple(photo.pixels[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "not an image", id="zero bytes"),
        pytest.param(b"GIF? no, just text in a .jpg", "not an image", id="wrong magic"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "image|decoded", id="only the magic"),
    ],
)
def test_what_is_no_image_is_refused(content, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        decode(io.BytesIO(content))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_truncated_file_is_refused(format, picture):
    whole = encoded(Image.fromarray(picture(1, size=(64, 64))), format).getvalue()
    with pytest.raises(UnreadableImageError):
        decode(io.BytesIO(whole[: len(whole) // 2]))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
@pytest.mark.filterwarnings("ignore")
def test_corrupt_bytes_never_raise_anything_else(format, picture):
    whole = encoded(Image.fromarray(picture(1, size=(32, 32))), format).getvalue()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        content = np.frombuffer(whole, np.uint8).copy()
        content[rng.integers(0, min(len(content), 300), 4)] = rng.integers(0, 256, 4)
        try:
            pixels = decode(io.BytesIO(content.tobytes()), max_pixels=10_000).pixels
            assert pixels.dtype == np.uint8
            assert pixels.shape[2] == 3
        except UnreadableImageError:
            refused += 1
    assert refused > 10


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UnreadableImageError, match="No such file"):
        decode(tmp_path / "absent.png")


def test_float_pixels_are_refused():
    with pytest.raises(UnreadableImageError, match="float"):
        decode(encoded(Image.fromarray(np.ones((16, 16), np.float32)), "TIFF"))


def test_tiny_image_is_refused():
    with pytest.raises(UnreadableImageError, match="1x1"):
        decode(encoded(Image.new("RGB", (1, 1))))


def test_size_is_judged_before_the_pixels_are_read():
    """A PNG header that promises 20,000 x 20,000 pixels, and nothing behind it: only the header is looked at."""
    small = encoded(Image.new("RGB", (16, 16))).getvalue()
    side = (20_000).to_bytes(4, "big")
    header = bytearray(small[:33])
    header[16:24] = side + side
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with pytest.raises(UnreadableImageError, match="pixels"):
        decode(io.BytesIO(bytes(header) + small[33:]))


def test_limit_of_pixels_is_the_callers():
    with pytest.raises(UnreadableImageError, match="40x50 pixels, more than 1999"):
        decode(encoded(Image.new("RGB", (40, 50))), max_pixels=1999)
    assert decode(encoded(Image.new("RGB", (40, 50))), max_pixels=2000).pixels.shape == (50, 40, 3)
