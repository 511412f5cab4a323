"""The page as people use it, in a real Chromium: `python -m pytest -m browser`."""

import app
import numpy as np
import pytest
from conftest import BROWSER_OPTIONS, watched_page
from fusing import DemoFusion, Settings
from handlers import Handlers
from PIL import Image
from test_registration_registering import SIZE as SCENE
from test_registration_registering import moved_pair, soft_noise, warp_about_middle

from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.checkpoint import load_checkpoint
from maefuse_hf.inference.pair_fusion import fuse_pair

pytestmark = pytest.mark.browser

PATIENCE_MS = 60_000
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
SIZE = (128, 160)


@pytest.fixture(scope="module")
def fuser():
    return DemoFusion(*load_checkpoint(device="cpu"))


@pytest.fixture(scope="module")
def url(fuser, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        page = app.build(fuser)
        _, url, _ = app.launch(page, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
        yield url
        page.close()


@pytest.fixture(scope="module")
def browser(launch):
    browser = launch(*BROWSER_OPTIONS)
    yield browser
    browser.close()


@pytest.fixture(params=[(width, scheme) for width, scheme in (("desktop", "light"), ("phone", "dark"))], ids=" ".join)
def page(request, browser, url):
    """The page with its first example fused, see `watched_page`."""
    width, scheme = request.param
    size = dict(zip(("width", "height"), WIDTHS[width]))
    context = browser.new_context(viewport=size, color_scheme=scheme, accept_downloads=True)
    with watched_page(context, url, PATIENCE_MS) as page:
        wait_for_image(page, "#against-photo", 640)
        yield page


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, image in zip(("infrared", "visible"), render_example_pair(*SIZE)):
        image.save(folder / f"{name}.png")
    render_example_pair(*SIZE)[0].resize((80, 64)).save(folder / "small.png")
    (folder / "notes.png").write_text("hello")
    return folder


def wait_for_image(page, where, width):
    """Until every image there has this width, and there is one."""
    page.wait_for_function(
        """([where, width]) => {
            const images = [...document.querySelectorAll(`${where} img`)];
            return images.length && images.every(one => one.complete && one.naturalWidth === width);
        }""",
        arg=[where, width],
    )


def upload(page, where, file):
    """In place of the image that is there."""
    page.locator(where).get_by_label("Remove Image").click()
    page.locator(f"{where} input[type=file]").set_input_files(file)
    page.locator(f"{where} img").wait_for()


def test_upload_fuse_slide_download(page, files, fuser, tmp_path):
    upload(page, "#infrared", files / "infrared.png")
    upload(page, "#visible", files / "visible.png")
    wait_for_image(page, "#visible", SIZE[1])
    page.locator("#fuse").click()
    wait_for_image(page, "#against-photo", SIZE[1])
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    slider = page.locator("#against-photo").get_by_test_id("slider")
    slider.scroll_into_view_if_needed()
    before = slider.bounding_box()
    middle = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 80, middle[1], steps=4)
    page.mouse.up()
    assert slider.bounding_box()["x"] - before["x"] == pytest.approx(80, abs=10)

    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "fused.png"
    expected = fuse_pair(fuser.model, fuser.processor, *render_example_pair(*SIZE)).image
    with Image.open(download.value.path()) as image:
        assert image.format == "PNG" and np.array_equal(image, expected)


def test_an_example_is_one_click_away(page):
    page.locator(".gallery-item").nth(2).click()
    for where in ("#infrared", "#visible", "#against-photo"):
        wait_for_image(page, where, 800)
    # a thermal camera's file alone, whose photo is 480 pixels wide
    page.locator(".gallery-item").last.click()
    page.locator("#visible img").wait_for(state="detached")
    wait_for_image(page, "#against-photo", 480)


def test_tabs_and_settings(page, fuser, files):
    upload(page, "#infrared", files / "infrared.png")
    upload(page, "#visible", files / "visible.png")
    page.get_by_role("tab", name="In numbers").click()
    page.locator("#numbers table").wait_for()
    numbers = page.locator("#numbers").inner_text()
    page.locator("#settings").get_by_text("Settings").click()
    page.get_by_label("ironbow").check()
    page.locator("#fuse").click()
    wait_for_image(page, "#against-infrared, #against-photo", SIZE[1])
    page.wait_for_function("before => document.querySelector('#numbers').innerText !== before", arg=numbers)
    with page.expect_download() as download:
        page.locator("#download").click()
    settings = Settings(palette="ironbow")
    expected = Handlers(fuser, files / "cache").fuse_files_here(
        str(files / "infrared.png"), str(files / "visible.png"), None, settings
    )
    assert np.array_equal(Image.open(download.value.path()), expected)
    for tab, count in (("What the model saw", 4), ("Fusion strategies", 3)):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_function(
            "count => document.querySelectorAll('[role=tabpanel] .image-frame img').length >= count", arg=count
        )


def test_a_pair_of_unlike_views_is_aligned_or_refused(page, files, tmp_path):
    for name, image in zip(("moved", "photo"), moved_pair(warp_about_middle())):
        Image.fromarray(image).save(files / f"{name}.png")
    upload(page, "#infrared", files / "moved.png")
    upload(page, "#visible", files / "photo.png")
    page.get_by_label("Align infrared to the photo").check()
    page.locator("#fuse").click()
    wait_for_image(page, "#against-photo", SCENE[0])
    page.get_by_role("tab", name="Alignment").click()
    wait_for_image(page, "#overlay", SCENE[0])
    page.locator("#found").get_by_text("Infrared covers 0.79 of the photo's width").wait_for()
    page.screenshot(path=tmp_path / "aligned.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    soft_noise().save(files / "noise.png")
    upload(page, "#infrared", files / "noise.png")
    page.locator("#fuse").click()
    page.get_by_text("Not aligned. The registration is not trusted").first.wait_for()
    page.locator("#found").get_by_text("nothing was fused").wait_for()
    page.screenshot(path=tmp_path / "refused.png", full_page=True)


def test_problems_are_said_and_can_be_solved(page, files):
    upload(page, "#infrared", files / "notes.png")
    upload(page, "#visible", files / "visible.png")
    page.locator("#fuse").click()
    page.get_by_text("The infrared image is no image that can be read").wait_for()
    upload(page, "#infrared", files / "small.png")
    page.locator("#fuse").click()
    page.get_by_text("80 × 64 pixels, the photo 160 × 128").wait_for()
    page.get_by_label("Resize infrared to the photo").check()
    page.locator("#fuse").click()
    wait_for_image(page, "#against-photo", SIZE[1])
