"""The static Space in a real Chromium, beside the Python result: `python -m pytest -m browser`."""

import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import BROWSER_OPTIONS, watched_page
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cli import main
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.checkpoint import load_checkpoint
from maefuse_hf.inference.pair_fusion import fuse_pair

pytestmark = pytest.mark.browser
pytest.importorskip("onnxscript", reason="needs the extra maefuse-hf[onnx]")
if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
    pytest.skip(f"{' and '.join(missing)} not installed", allow_module_level=True)

PATIENCE_MS = 120_000
SIZE = (90, 130)
PROCESSOR = MaeFuseImageProcessor(size_divisor=8)


class Handler(SimpleHTTPRequestHandler):
    """A server of the page's folder with the headers of its README."""

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(exported, tmp_path_factory):
    from maefuse_hf.onnx_export.browser import write_page

    page = tmp_path_factory.mktemp("page")
    files = {path.name for path in write_page(exported[1], page, "float32")}
    assert {"index.html", "README.md", "main.js", "worker.js", "service-worker.js", "model.onnx"} <= files
    return page


@contextmanager
def served(folder):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def server(folder):
    with served(folder) as server:
        yield server


@pytest.fixture(scope="module")
def browser(launch):
    browser = launch(*BROWSER_OPTIONS, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    yield browser
    browser.close()


@contextmanager
def opened(browser, server):
    """The page, see `watched_page`."""
    url = f"http://127.0.0.1:{server.server_port}/"
    context = browser.new_context(accept_downloads=True, permissions=["camera"])
    with watched_page(context, url, PATIENCE_MS) as page:
        yield page


@pytest.fixture
def page(browser, server):
    with opened(browser, server) as page:
        yield page


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    infrared, visible = render_example_pair(*SIZE)
    infrared.save(folder / "infrared.png")
    visible.save(folder / "visible.png")
    infrared.resize((65, 45)).save(folder / "small.png")
    Image.fromarray(np.asarray(infrared).astype(np.uint16) * 256).save(folder / "deep.png")
    (folder / "notes.png").write_text("hello")
    return folder


def choose(page, kind, file):
    page.locator(f"#{kind} input").set_input_files(file)


def says(page, text):
    page.locator("#status").get_by_text(text).wait_for()


def fuse(page):
    """Fuse, and the image that the page gives for download."""
    page.locator("#fuse").click()
    says(page, "pixels in")
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "fused.png"
    return Image.open(download.value.path())


def difference_from_python(image, model, processor=PROCESSOR):
    """In grey levels, of what Python makes of the pair."""
    assert image.format == "PNG"
    expected = fuse_pair(model, processor, *render_example_pair(*SIZE)).image
    return np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(expected).astype(int))


def test_the_fused_image_is_pythons(page, files, exported, tmp_path):
    choose(page, "infrared", files / "infrared.png")
    choose(page, "visible", files / "visible.png")
    image = fuse(page)
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    says(page, "on the processor")
    difference = difference_from_python(image, exported[0])
    # a value near a half may fall to either side
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3

    page.locator("#slider").fill("20")
    assert page.locator("#compare").evaluate("one => one.style.getPropertyValue('--at')") == "20%"


def test_with_weights_that_ship(browser, files, tmp_path):
    name = "maefuse-tiny"
    assert main(["export", "browser", str(tmp_path), "--model", name, "--precision", "float32"]) == 0
    with served(tmp_path) as server, opened(browser, server) as page:
        choose(page, "infrared", files / "infrared.png")
        choose(page, "visible", files / "visible.png")
        difference = difference_from_python(fuse(page), *load_checkpoint(name, "cpu"))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


def test_offline_once_it_has_fused(page, server, files):
    page.locator("#example").click()
    says(page, "Ready.")
    assert fuse(page).size == (640, 480)
    page.context.set_offline(True)
    page.reload()
    choose(page, "infrared", files / "infrared.png")
    choose(page, "visible", files / "visible.png")
    assert fuse(page).size == SIZE[::-1]
    page.context.set_offline(False)


def test_problems_are_said_and_can_be_solved(page, files):
    choose(page, "infrared", files / "notes.png")
    says(page, "The infrared image is no image that this browser reads: notes.png")
    choose(page, "infrared", files / "deep.png")
    says(page, "The infrared image has 16 bits")
    choose(page, "infrared", files / "small.png")
    choose(page, "visible", files / "visible.png")
    page.locator("#fuse").click()
    says(page, "Infrared is 65 × 45 pixels, the photo 130 × 90.")
    page.locator("#resize").check()
    assert fuse(page).size == SIZE[::-1]


def test_the_webcam_takes_the_photo(page, files):
    choose(page, "infrared", files / "infrared.png")
    page.locator("#webcam").click()
    page.get_by_text("Take the photo").click()
    says(page, "Ready.")
    page.locator("#resize").check()
    assert min(fuse(page).size) > 100


def test_a_model_that_is_missing(browser, server, folder, files, tmp_path):
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    choose(page, "infrared", files / "infrared.png")
    choose(page, "visible", files / "visible.png")
    away = (folder / "model.onnx").rename(tmp_path / "model.onnx")
    page.locator("#fuse").click()
    says(page, "model.onnx could not be loaded. Build the page anew")
    away.rename(folder / "model.onnx")
    assert fuse(page).size == SIZE[::-1]
    page.close()


def test_webgpu_is_within_one_grey_level(launch, server, files, exported):
    browser = launch(
        "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"
    )
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    if not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
        pytest.skip("this Chromium has no WebGPU adapter")
    choose(page, "infrared", files / "infrared.png")
    choose(page, "visible", files / "visible.png")
    image = fuse(page)
    says(page, "on the GPU")
    assert difference_from_python(image, exported[0]).max() <= 1

    page.goto(f"http://127.0.0.1:{server.server_port}/?wasm")
    page.locator("#example").click()
    fuse(page)
    says(page, "on the processor")
    browser.close()
