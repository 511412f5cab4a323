"""The page, and what a Space needs besides code."""

import inspect
import re
import tomllib
from pathlib import Path

import app
import gradio as gr
import numpy as np
import pytest
from clips import MOST_FRAMES, SHORTEST_EDGE
from conftest import small_model
from fusing import DemoFusion, Settings
from handlers import Handlers
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.cameras import open_camera_file
from maefuse_hf.example_scene.scene import render_example_pair

ROOT = Path(__file__).parent.parent
SPACE = ROOT / "space"
EXAMPLES = {"1-street": (480, 640, 0), "2-upright": (640, 480, 4), "3-wide": (400, 800, 6)}


@pytest.fixture(scope="module")
def page():
    return app.build(DemoFusion(small_model(), MaeFuseImageProcessor(size_divisor=8)))


def test_only_fuse_is_public(page):
    public = [function.api_name for function in page.fns.values() if function.api_visibility == "public"]
    assert public == ["fuse"]


def test_whatever_runs_the_model_waits_for_it(page):
    handlers = {"fuse", "numbers", "insights", "strategies", "clip"}
    running = [f for f in page.fns.values() if getattr(f.fn, "func", f.fn).__name__ in handlers | {"look_if_open"}]
    assert len(running) > len(handlers)
    assert {(function.concurrency_id, function.concurrency_limit) for function in running} == {("model", 1)}


def test_controls_and_api_have_the_same_defaults(page):
    parameters = list(inspect.signature(Handlers.fuse).parameters.values())[3:]
    (fuse,) = (function for function in page.fns.values() if function.api_visibility == "public")
    settings = Settings()
    for parameter, control in zip(parameters, fuse.inputs[2:], strict=True):
        assert parameter.default == control.value == getattr(settings, parameter.name)
        assert control.info, parameter.name


def test_the_api_s_documentation_names_ranges_and_choices_as_they_are():
    text = inspect.getdoc(Handlers.fuse)
    for low, high in (app.GAMMA_RANGE, app.SIZE_LIMIT_RANGE):
        assert f"{low:g} to {high:g}" in text
    assert all(palette in text for palette in (app.NO_PALETTE, *app.PALETTES))


def test_the_api_has_no_images_by_default(page):
    (fuse,) = (function for function in page.fns.values() if function.api_visibility == "public")
    assert [image.value for image in fuse.inputs[:2]] == [None, None]


def test_the_bounds_of_a_clip_are_said_beforehand():
    assert f"first {MOST_FRAMES} frames" in app.CLIP_TEXT and f"{SHORTEST_EDGE} pixels" in app.CLIP_TEXT


def test_a_tab_is_brought_up_to_date_only_if_open():
    assert app.look_if_open("numbers", lambda job: f"of {job}", "numbers", "job") == "of job"
    assert app.look_if_open("numbers", lambda job: 1 / 0, "about", "job") == gr.skip()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_rendered_by_us(name):
    infrared, visible = render_example_pair(*EXAMPLES[name])
    paths = {pair[0].split("/")[-2]: pair for pair in app.example_pairs()}
    assert set(paths) == set(EXAMPLES)
    given = [Image.open(path) for path in paths[name]]
    assert np.abs(np.asarray(given[0], int) - np.asarray(infrared, int)).mean() < 0.1
    assert np.abs(np.asarray(given[1], int) - np.asarray(visible, int)).mean() < 4


def test_one_example_is_a_camera_s_file_with_its_photo(page):
    assert open_camera_file(app.CAMERA_EXAMPLE).visible is not None
    assert "MIT" in app.CAMERA_EXAMPLE.with_name("LICENSE.md").read_text()
    (samples,) = (block.samples for block in page.blocks.values() if isinstance(block, gr.Dataset))
    assert len(samples) == 4 and Path(samples[-1][0]["path"]).suffix == ".jpg"


def test_the_front_matter():
    card = SpaceCard.load(SPACE / "README.md", ignore_metadata_errors=False)
    data = card.data.to_dict()
    (needed,) = (line for line in (SPACE / "requirements.txt").read_text().split() if line.startswith("gradio"))
    assert data["sdk"] == "gradio" and Requirement(needed).specifier.contains(data["sdk_version"])
    assert data["license"] == "apache-2.0" and data["title"] == "MaeFuse" and data["models"] == []
    assert (SPACE / data["app_file"]).is_file() and isinstance(data["python_version"], str)
    assert len(data["short_description"]) <= 60
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {data["colorFrom"], data["colorTo"]} <= colours


def test_the_requirements_are_the_package_s_and_the_extra_s():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["space"]
    assert (SPACE / "requirements.txt").read_text().split() == needed


def test_it_is_served_with_limits_and_its_images_are_deleted(page, monkeypatch):
    calls = {}
    for name in ("queue", "launch"):
        monkeypatch.setattr(page, name, lambda name=name, **options: calls.update({name: options}))
    monkeypatch.setattr(app, "keep_deleting", lambda *arguments: calls.update(keep_deleting=arguments))
    app.launch(page, server_port=1)
    assert calls["queue"]["max_size"] > 0
    assert calls["launch"]["max_file_size"] == "20mb" and calls["launch"]["server_port"] == 1
    assert calls["keep_deleting"] == (app.CACHE, app.DELETE_EVERY_S, app.DELETE_AFTER_S)
    assert page.delete_cache == (app.DELETE_EVERY_S, app.DELETE_AFTER_S)
    assert page.analytics_enabled is False


def test_the_package_is_used_by_its_public_names():
    for path in SPACE.glob("*.py"):
        names = re.findall(r"from maefuse_hf\S* import (.*)", path.read_text())
        assert not [name for line in names for name in line.split(", ") if name.startswith("_")]
