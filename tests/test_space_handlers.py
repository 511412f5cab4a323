from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from aligning import overlay_of
from conftest import small_model
from fusing import DemoFusion, Settings
from handlers import EXAMPLES, LONGEST_SHOWN, NOT_ALIGNED, Handlers, is_example, said, shown
from PIL import Image
from test_registration_registering import moved_pair, soft_noise, warp_about_middle
from videos import read_video, write_video

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.file_fusion import fuse_files
from maefuse_hf.inference.pair_fusion import fuse_pair
from maefuse_hf.registration.geometry import corner_distance
from maefuse_hf.strategies import FUSION_STRATEGIES


@pytest.fixture(scope="module")
def model():
    return small_model(fusion_attention="local", merging_joint_softmax=True)


@pytest.fixture(scope="module")
def unlike_views():
    return moved_pair(warp_about_middle())


@pytest.fixture
def handlers(model, tmp_path):
    return Handlers(DemoFusion(model, MaeFuseImageProcessor(size_divisor=8)), tmp_path / "cache")


@pytest.fixture
def uploads(handlers):
    """Two files where Gradio puts what people upload."""
    images = dict(zip(("infrared.png", "visible.png"), render_example_pair(68, 84)))
    for name, image in images.items():
        image.save(handlers.folder / name)
    return [{"path": str(handlers.folder / name)} for name in images]


def job_of(uploads, **settings):
    return (*(upload["path"] for upload in uploads), None, Settings(**settings))


class TestFuse:
    def test_the_file_is_what_the_package_gives(self, handlers, uploads):
        expected = fuse_pair(handlers.fuser.model, handlers.fuser.processor, *render_example_pair(68, 84)).image
        path = Path(handlers.fuse(*uploads))
        assert path.name == "fused.png" and handlers.folder in path.parents
        with Image.open(path) as image:
            assert image.format == "PNG" and image.mode == "RGB" and np.array_equal(image, expected)

    def test_what_the_images_seem_to_be_is_said(self, handlers, uploads):
        with pytest.warns(UserWarning, match=r"The infrared image is in colours and the visible image .* swapped\?"):
            handlers.fuse(*reversed(uploads))

    def test_settings_come_in_the_order_of_the_page(self, handlers, uploads):
        settings = (False, "arctic", 0.5, "infrared", 300, True)
        expected = handlers.fuse_files_here(*job_of(uploads)[:3], Settings(*settings))
        assert np.array_equal(Image.open(handlers.fuse(*uploads, *settings)), expected)

    def test_an_example_is_fused_once(self, handlers, monkeypatch):
        pair = [{"path": str(next((EXAMPLES / "1-street").glob(f"{kind}.*")))} for kind in ("infrared", "visible")]
        first = handlers.fuse(*pair, size_limit=256)
        assert handlers.fuse_example.cache_info().misses == 1
        second = handlers.fuse(*pair, size_limit=256)
        assert handlers.fuse_example.cache_info().hits == 1 and first != second
        assert np.array_equal(Image.open(first), Image.open(second))

    def test_what_people_upload_is_not_remembered(self, handlers, uploads):
        handlers.fuse(*uploads)
        assert handlers.fuse_example.cache_info().currsize == 0

    @pytest.mark.parametrize(
        ("settings", "message"),
        [({"palette": "gold"}, "no palette 'gold'"), ({"infrared_gamma": 0}, "gamma is 0; choose")],
    )
    def test_wrong_settings_are_said(self, handlers, uploads, settings, message):
        with pytest.raises(gr.Error, match=message):
            handlers.fuse(*uploads, **settings)

    def test_a_missing_image_is_said(self, handlers, uploads):
        with pytest.raises(gr.Error, match="The photo is missing"):
            handlers.fuse(uploads[0], None)
        with pytest.raises(gr.Error, match="The infrared image is missing"):
            handlers.fuse({"path": None}, uploads[1])


class TestTypes:
    @pytest.mark.parametrize("upload", ["a.png", 3, ["a.png"], {"path": 3}, {"path": ["a.png"]}, True])
    def test_what_is_no_file_is_said(self, handlers, uploads, upload):
        for pair in ((upload, uploads[1]), (uploads[0], upload)):
            with pytest.raises(gr.Error, match="An image must come as an uploaded file"):
                handlers.fuse(*pair)

    def test_no_path_at_all_is_a_missing_image(self, handlers, uploads):
        with pytest.raises(gr.Error, match="The photo is missing"):
            handlers.fuse(uploads[0], {})


class TestPaths:
    @pytest.mark.parametrize("path", ["/etc/passwd", "{cache}/../beside.png", "{examples}/../app.py", "link"])
    def test_no_other_file_is_opened(self, handlers, uploads, path, tmp_path):
        render_example_pair(68, 84)[0].save(tmp_path / "beside.png")
        (handlers.folder / "link").symlink_to(tmp_path / "beside.png")
        path = path.format(cache=handlers.folder, examples=EXAMPLES).replace("link", str(handlers.folder / "link"))
        with pytest.raises(gr.Error, match=r"Only uploaded files are fused"):
            handlers.fuse({"path": path}, uploads[1])

    def test_examples(self, handlers, uploads):
        assert is_example(str(EXAMPLES / "1-street" / "visible.jpg"))
        assert not is_example(uploads[0]["path"]) and not is_example(None)


class TestSaid:
    def test_problems_become_messages(self):
        @said
        def refuse(error):
            raise error

        with pytest.raises(gr.Error, match="too cold") as error:
            refuse(ValueError("too cold"))
        assert not error.value.print_exception
        with pytest.raises(gr.Error, match="No space left") as error:
            refuse(OSError(28, "No space left", "/secret/file.png"))
        assert "secret" not in error.value.message

    def test_html_is_escaped(self, handlers, uploads):
        with pytest.raises(gr.Error) as error:
            handlers.fuse(*uploads, palette="<img src=x onerror=alert(1)>")
        assert "no palette '&lt;img src=x onerror=alert(1)&gt;'" in error.value.message

    def test_defects_stay_defects(self):
        @said
        def fail():
            raise KeyError("path")

        with pytest.raises(KeyError):
            fail()


class TestAlign:
    """A pair of unlike views, and infrared of another scene."""

    @pytest.fixture
    def moved(self, handlers, unlike_views):
        infrared, visible, _ = unlike_views
        Image.fromarray(infrared).save(handlers.folder / "infrared.png")
        Image.fromarray(visible).save(handlers.folder / "visible.png")
        return [{"path": str(handlers.folder / name)} for name in ("infrared.png", "visible.png")]

    def test_infrared_is_fused_where_it_lies_and_shown_there(self, handlers, moved, unlike_views):
        path = handlers.fuse(*moved, align=True)
        job = handlers.show(*moved, {"path": path}, *vars(Settings(align=True)).values())[3]
        *files, place = job[:3]
        assert corner_distance(place.transform, unlike_views[2], place.infrared_size) < 1
        expected = fuse_files(handlers.fuser.model, handlers.fuser.processor, *files, rig=place).image
        assert np.array_equal(Image.open(path), expected) and expected.size == place.visible_size
        overlay, words = handlers.alignment(*moved, True)
        assert np.array_equal(overlay, overlay_of(*files, place)) and overlay.size == place.visible_size
        assert f"**Score {place.score:.2f}**" in words and "turned by 3." in words
        assert handlers.alignment_of.cache_info().misses == 1
        assert "<table" in handlers.numbers(job) and handlers.strategies(job)[0].size == place.visible_size

    def test_what_is_not_trusted_is_refused_and_shown(self, handlers, moved):
        soft_noise().save(moved[0]["path"])
        with pytest.raises(gr.Error, match=r"Not aligned\. .*score is 0\.\d\d, and 0\.25 is needed.* “Alignment”"):
            handlers.fuse(*moved, align=True)
        overlay, words = handlers.alignment(*moved, True)
        assert overlay.size == (320, 240) and "nothing was fused" in words and "clear edges" in words
        assert handlers.alignment_of.cache_info().misses == 1

    def test_where_there_is_no_place_at_all(self, handlers, moved):
        Image.new("L", (272, 204), 80).save(moved[0]["path"])
        with pytest.raises(gr.Error, match="infrared image is one even grey") as refused:
            handlers.fuse(*moved, align=True)
        assert "Alignment" not in refused.value.message
        overlay, words = handlers.alignment(*moved, True)
        assert overlay is None and "one even grey" in words

    def test_without_it_nothing_is_registered(self, handlers, moved):
        handlers.fuse(*moved, resize_infrared=True)
        assert handlers.alignment(*moved, False) == (None, NOT_ALIGNED)
        assert handlers.alignment_of.cache_info().misses == 0

    def test_files_that_cannot_be_used(self, handlers, moved):
        Path(moved[1]["path"]).write_text("hello")
        with pytest.raises(gr.Error, match="The photo is no image that can be read"):
            handlers.fuse(*moved, align=True)
        assert handlers.alignment(*moved, True) == (None, NOT_ALIGNED)
        render_example_pair(64, 400)[1].save(moved[1]["path"])
        with pytest.raises(gr.Error, match="visible image has 400×64 pixels; one side may be 5 times"):
            handlers.fuse(*moved, align=True)


class TestShow:
    def test_sliders_file_and_job(self, handlers, uploads):
        path = handlers.fuse(*uploads)
        settings = (True, "none", 1.0, "cfm", 1024, False, False)
        photo_and_fused, infrared_and_fused, download, job = handlers.show(*uploads, {"path": path}, *settings)
        infrared, visible = render_example_pair(68, 84)
        fused = Image.open(path)
        for given, expected in zip(photo_and_fused + infrared_and_fused, (visible, fused, infrared, fused)):
            assert np.array_equal(given, expected)
        assert download == path and job == job_of(uploads)

    def test_what_is_shown_is_bounded(self):
        large = Image.new("RGB", (2 * LONGEST_SHOWN, 100))
        assert shown(large).size == (LONGEST_SHOWN, 50) and large.width == 2 * LONGEST_SHOWN


class TestTabs:
    def test_before_any_fusion_they_are_empty(self, handlers):
        assert handlers.numbers(None) == ""
        assert handlers.insights(None) == (None,) * 4 and handlers.strategies(None) == (None,) * 3

    def test_numbers_do_not_depend_on_colour_and_palette(self, handlers, uploads):
        table = handlers.numbers(job_of(uploads))
        assert table.count("<tr>") == 7 and "photo alone" in table
        assert table == handlers.numbers(job_of(uploads, colour=False, palette="ironbow"))
        assert table != handlers.numbers(job_of(uploads, infrared_gamma=0.5))

    def test_insights_are_as_large_as_what_the_model_saw(self, handlers, uploads):
        images = handlers.insights(job_of(uploads))
        assert [image.size for image in images] == [(84, 68)] * 4
        infrared, visible, contour, merging = (np.asarray(image) for image in images)
        assert not np.array_equal(infrared, visible) and np.ptp(contour) > 100 and merging.shape == (68, 84, 3)

    def test_a_model_without_weights_shows_its_features(self, uploads, handlers):
        other = Handlers(DemoFusion(small_model(), handlers.fuser.processor), handlers.folder)
        images = other.insights(job_of(uploads))
        assert images[3] is None and all(image.size == (84, 68) for image in images[:3])

    def test_strategies(self, handlers, uploads):
        pair = render_example_pair(68, 84)
        for strategy, image in zip(FUSION_STRATEGIES, handlers.strategies(job_of(uploads))):
            expected = fuse_pair(handlers.fuser.model, handlers.fuser.processor, *pair, strategy).image
            assert np.array_equal(image, expected)

    def test_images_that_are_gone(self, handlers, uploads):
        job = job_of(uploads)
        Path(job[0]).unlink()
        for look in (handlers.numbers, handlers.insights, handlers.strategies):
            with pytest.raises(gr.Error, match="The infrared image is no longer here"):
                look(job)


class TestForBrowsers:
    def test_a_tiff_becomes_a_png_of_the_same_pixels(self, handlers):
        raw = np.linspace(7000, 9000, 64 * 80).reshape(64, 80).astype(np.uint16)
        Image.fromarray(raw).save(handlers.folder / "thermal.tiff")
        path = Path(handlers.for_browsers({"path": str(handlers.folder / "thermal.tiff")}))
        assert path.name == "thermal.png" and handlers.folder in path.parents
        assert np.array_equal(Image.open(path), raw)

    @pytest.mark.parametrize("content", [b"hello", None])
    def test_anything_else_stays(self, handlers, uploads, content):
        if content:
            Path(uploads[0]["path"]).write_bytes(content)
        assert handlers.for_browsers(uploads[0]) == gr.skip()
        assert handlers.for_browsers(None) == gr.skip()


class TestClip:
    @pytest.fixture
    def clips(self, handlers):
        infrared, visible = (np.asarray(image.convert("RGB")) for image in render_example_pair(64, 80))
        paths = [handlers.folder / name for name in ("thermal.mp4", "photo.mp4")]
        for path, image in zip(paths, (infrared, visible)):
            write_video(path, [image] * 3)
        return [{"path": str(path)} for path in paths]

    def test_a_clip(self, handlers, clips):
        path = Path(handlers.clip(*clips, 0))
        assert path.name == "fused.mp4" and handlers.folder in path.parents
        assert len(read_video(path)) == 3

    def test_what_is_left_out_is_said(self, handlers, clips):
        with pytest.warns(UserWarning, match="frames before infrared begins"):
            handlers.clip(*clips, 0.25)

    def test_what_is_no_clip(self, handlers, clips, uploads):
        with pytest.raises(gr.Error, match=r"A clip must be \.mp4, \.mov"):
            handlers.clip(uploads[0], clips[1], 0)
        with pytest.raises(gr.Error, match="The infrared video is missing"):
            handlers.clip(None, clips[1], 0)
        with pytest.raises(gr.Error, match="Only uploaded files are fused"):
            handlers.clip({"path": "/etc/film.mp4"}, clips[1], 0)
