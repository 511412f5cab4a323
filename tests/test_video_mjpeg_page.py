import io
import urllib.error
import urllib.request

import pytest
from PIL import Image

from maefuse_hf.video.mjpeg_page import MjpegPage


def read_part(stream) -> Image.Image:
    """The next image of the stream."""
    assert stream.readline() == b"--frame\r\n"
    assert stream.readline() == b"Content-Type: image/jpeg\r\n"
    length = int(stream.readline().split(b": ")[1])
    assert stream.readline() == b"\r\n"
    image = Image.open(io.BytesIO(stream.read(length)))
    assert stream.readline() == b"\r\n"
    return image


def test_a_browser_gets_the_frames_as_they_come():
    with MjpegPage(0) as page:
        assert page.address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(page.address, timeout=5) as answer:
            assert b'<img src="/stream"' in answer.read()
        page.show(Image.new("RGB", (8, 8), (10, 10, 10)))
        with urllib.request.urlopen(f"{page.address}/stream", timeout=5) as stream:
            for grey in (10, 200):
                image = read_part(stream)
                assert image.size == (8, 8) and image.getpixel((4, 4)) == (grey,) * 3
                page.show(Image.new("RGB", (8, 8), (200, 200, 200)))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{page.address}/else", timeout=5)


def test_a_port_that_is_taken():
    with MjpegPage(0) as page, pytest.raises(OSError, match="Choose another with --http"):
        MjpegPage(page.server.server_address[1])
    with pytest.raises(OSError, match="Port 99999 cannot be used"):
        MjpegPage(99999)
