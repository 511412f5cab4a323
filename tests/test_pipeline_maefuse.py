import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import datasets
import numpy as np
import pytest
import torch
from conftest import ramp, small_model
from PIL import Image
from transformers import AutoModel, pipeline

from maefuse_hf import SHIPPED_CHECKPOINT, MaeFuseImageProcessor, MaeFuseModel, MaeFusePipeline
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.pair_fusion import fuse_pair


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def processor():
    return MaeFuseImageProcessor(size_divisor=8)


@pytest.fixture(scope="module")
def fuse(model, processor):
    return pipeline("image-fusion", model=model, image_processor=processor, device="cpu")


@pytest.fixture(scope="module")
def pairs():
    """Three pairs, of two sizes."""
    rendered = [render_example_pair(64, width, seed=seed) for seed, width in enumerate((64, 72, 64))]
    return [{"infrared": infrared, "visible": visible} for infrared, visible in rendered]


@pytest.fixture(scope="module")
def expected(model, processor, pairs):
    return [np.asarray(fuse_pair(model, processor, **pair).image) for pair in pairs]


@pytest.fixture(scope="module")
def website():
    """An address that serves a 16-bit image, nonsense, and nothing else."""
    deep = BytesIO()
    Image.fromarray(ramp(64, 64).astype(np.uint16) * 100 + 7000).save(deep, "PNG")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = {"/deep.png": deep.getvalue(), "/text.png": b"no image"}.get(self.path)
            self.send_response(200 if content else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def same(images, expected):
    """Whether images are the expected ones, but for a rounding that a batch may turn."""
    assert len(images) == len(expected)
    return all(abs(np.asarray(one, int) - other).max() <= 1 for one, other in zip(images, expected))


class TestOnePair:
    def test_it_is_what_processor_and_model_make_of_it(self, fuse, pairs, expected):
        image = fuse(pairs[0]["infrared"], pairs[0]["visible"])
        assert isinstance(image, Image.Image) and image.mode == "RGB" and image.size == (64, 64)
        assert np.array_equal(image, expected[0])

    def test_by_keyword_and_as_a_mapping(self, fuse, pairs, expected):
        assert np.array_equal(fuse(**pairs[1]), expected[1])
        assert np.array_equal(fuse({**pairs[1], "name": "a row of a dataset has more columns"}), expected[1])

    def test_paths_and_arrays(self, fuse, pairs, expected, tmp_path):
        for half, image in pairs[0].items():
            image.save(tmp_path / f"{half}.png")
        assert np.array_equal(fuse(tmp_path / "infrared.png", str(tmp_path / "visible.png")), expected[0])
        arrays = {half: np.asarray(image) for half, image in pairs[0].items()}
        assert np.array_equal(fuse(**arrays), expected[0])
        tensors = {half: torch.tensor(array) for half, array in arrays.items()}
        tensors["visible"] = tensors["visible"].permute(2, 0, 1)
        assert np.array_equal(fuse(**tensors), expected[0])

    def test_an_address_keeps_all_sixteen_bits(self, fuse, pairs, website):
        deep = ramp(64, 64).astype(np.uint16) * 100 + 7000
        visible = pairs[0]["visible"]
        assert np.array_equal(fuse(f"{website}/deep.png", visible, timeout=5), fuse(deep, visible))

    def test_base64(self, fuse, pairs, expected):
        file = BytesIO()
        pairs[0]["infrared"].save(file, "PNG")
        text = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        assert np.array_equal(fuse(text, pairs[0]["visible"]), expected[0])


class TestManyPairs:
    @pytest.mark.parametrize("batch_size", [1, 2, 3])
    def test_batches_of_mixed_sizes(self, fuse, pairs, expected, batch_size):
        assert same(fuse(pairs, batch_size=batch_size), expected)

    def test_those_of_one_size_run_together(self, fuse, pairs, monkeypatch):
        batches = []
        forward = MaeFuseModel.forward
        monkeypatch.setattr(
            MaeFuseModel,
            "forward",
            lambda self, *all, **more: batches.append(len(more["infrared"])) or forward(self, **more),
        )
        fuse(pairs, batch_size=3)
        assert sorted(batches) == [1, 2]

    def test_two_lists(self, fuse, pairs, expected):
        infrared, visible = zip(*(pair.values() for pair in pairs))
        assert same(fuse(list(infrared), list(visible)), expected)
        assert same(fuse(infrared=infrared, visible=visible, batch_size=2), expected)

    def test_a_generator_is_fused_while_it_is_read(self, fuse, pairs, expected):
        read = []
        images = fuse(read.append(index) or pair for index, pair in enumerate(pairs))
        assert np.array_equal(next(iter(images)), expected[0])
        assert len(read) < 3
        assert same(list(fuse(iter(tuple(pairs)))), expected)

    def test_the_rows_of_a_dataset(self, fuse, pairs, expected):
        table = datasets.Dataset.from_list(pairs)
        assert same(list(fuse(table, batch_size=2, num_workers=0)), expected)

    def test_images_are_read_by_workers(self, fuse, pairs, expected):
        assert same(fuse(pairs, num_workers=1), expected)

    def test_none(self, fuse):
        assert fuse([]) == []


class TestParameters:
    def test_fusion_and_contour_reach_the_model(self, fuse, model, processor, pairs):
        for choice in ({"fusion": "mean"}, {"contour": "infrared"}):
            assert np.array_equal(fuse(**pairs[0], **choice), fuse_pair(model, processor, **pairs[0], **choice).image)

    def test_settings_reach_the_processor(self, fuse, model, processor, pairs):
        narrow = {"infrared_range": (50, 100)}
        result = fuse(**pairs[0], **narrow)
        assert np.array_equal(result, fuse_pair(model, processor, **pairs[0], **narrow).image)
        other_size = {"infrared": pairs[1]["infrared"], "visible": pairs[0]["visible"]}
        assert fuse(**other_size, resize_infrared=True).size == (64, 64)

    def test_given_once_they_hold_until_a_call_says_otherwise(self, model, processor, pairs, expected):
        mean = pipeline("image-fusion", model=model, image_processor=processor, device="cpu", fusion="mean")
        assert not same([mean(**pairs[0])], expected[:1])
        assert same([mean(**pairs[0], fusion="mfm")], expected[:1])


class TestLoading:
    def test_without_a_model_the_shipped_one_is_taken(self):
        fuse = pipeline("image-fusion")
        assert type(fuse) is MaeFusePipeline
        shipped = MaeFuseModel.from_pretrained(SHIPPED_CHECKPOINT)
        assert torch.equal(fuse.model.decoder.predict.weight.cpu(), shipped.decoder.predict.weight)

    def test_what_it_saves_loads_with_the_package_and_no_trust(self, fuse, pairs, expected, tmp_path):
        fuse.save_pretrained(tmp_path)
        loaded = pipeline("image-fusion", model=str(tmp_path), device="cpu", local_files_only=True)
        assert type(loaded) is MaeFusePipeline and type(loaded.model) is MaeFuseModel
        assert np.array_equal(loaded(**pairs[0]), expected[0])

    def test_what_it_saves_names_its_code_and_no_folder_of_this_machine(self, fuse, tmp_path):
        fuse.save_pretrained(tmp_path)
        text = (tmp_path / "config.json").read_text()
        config = json.loads(text)
        assert config["custom_pipelines"]["image-fusion"]["impl"] == "pipeline_maefuse.MaeFusePipeline"
        assert config["auto_map"] == {
            "AutoConfig": "configuration_maefuse.MaeFuseConfig",
            "AutoModel": "modeling_maefuse.MaeFuseModel",
        }
        assert str(SHIPPED_CHECKPOINT.parent.parent) not in text
        modules = {path.name for path in tmp_path.glob("*.py")}
        assert modules >= {"configuration_maefuse.py", "modeling_maefuse.py", "image_processing_maefuse.py"}
        assert "pipeline_maefuse.py" in modules

    def test_without_a_task_it_is_taken_from_the_checkpoint(self, fuse, pairs, expected, tmp_path):
        fuse.save_pretrained(tmp_path)
        loaded = pipeline(model=str(tmp_path), device="cpu")
        assert type(loaded) is MaeFusePipeline and loaded.task == "image-fusion"
        assert np.array_equal(loaded(**pairs[0]), expected[0])
        # the pipeline's file does not travel with a model that is saved alone
        AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path / "model alone")
        assert "custom_pipelines" not in json.loads((tmp_path / "model alone" / "config.json").read_text())
        loaded.save_pretrained(tmp_path / "pipeline")
        assert "custom_pipelines" in json.loads((tmp_path / "pipeline" / "config.json").read_text())

    def test_tasks_of_others_stay_in_a_configuration(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        tasks = {"image-fusion": {"impl": "a.B", "pt": ["AutoModel"]}, "other": {"impl": "a.C", "pt": ["AutoModel"]}}
        (tmp_path / "config.json").write_text(json.dumps({**config, "custom_pipelines": tasks}))
        assert list(AutoModel.from_pretrained(tmp_path).config.custom_pipelines) == ["other"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["thermal.png"], "One image came. Fusion needs two"),
            ([{"infrared": "thermal.png"}], "A pair is a mapping of 'infrared' and 'visible', but the keys infrared"),
            ([["thermal.png", "photo.png"]], "A pair is a mapping of 'infrared' and 'visible', but str came"),
            ([["a.png"], ["b.png", "c.png"]], "1 infrared and 2 visible images came"),
            (["a.png", ["b.png", "c.png"]], "no list of infrared and 2 visible images came"),
            ([np.zeros((2, 8, 8, 3)) + np.arange(3), np.ones((2, 8, 8, 3))], "no content"),
        ],
    )
    def test_is_refused(self, fuse, arguments, message):
        with pytest.raises(ValueError, match=message):
            fuse(*arguments)

    def test_a_batch_in_one_array(self, fuse):
        batch = np.stack([ramp(16, 16)] * 2)[..., None]
        with pytest.raises(ValueError, match="A pair holds 2 images of each kind"):
            fuse(batch, batch)

    def test_an_unknown_parameter(self, fuse, pairs):
        with pytest.raises(TypeError, match=r"No such parameter: strategy. There are .*contour.*infrared_range"):
            fuse(**pairs[0], strategy="mean")

    def test_missing_and_broken_files(self, fuse, pairs, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"infrared \(.*nothing.png\): there is no such file"):
            fuse(tmp_path / "nothing.png", pairs[0]["visible"])

    @pytest.mark.parametrize("page", ["text.png", "missing.png"])
    def test_addresses_that_hold_no_image(self, fuse, pairs, website, page):
        with pytest.raises(OSError, match=rf"infrared \({website}/{page}\): no image could be had from there"):
            fuse(f"{website}/{page}", pairs[0]["visible"])

    def test_nobody_answers(self, fuse, pairs):
        with pytest.raises(OSError, match=r"visible \(http://127.0.0.1:9/x.png\): no image could be had"):
            fuse(pairs[0]["infrared"], "http://127.0.0.1:9/x.png", timeout=5)

    def test_broken_base64_is_not_printed_whole(self, fuse, pairs):
        with pytest.raises(OSError, match="no image could be had") as raised:
            fuse("data:image/png;base64,?" + "A" * 10_000, pairs[0]["visible"])
        assert len(str(raised.value)) < 400
