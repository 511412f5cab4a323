"""Which files a pushed model takes along, and that they need no other file of this package."""

import ast
from pathlib import Path

from conftest import small_model

import maefuse_hf
from maefuse_hf import MaeFuseImageProcessor, MaeFusePipeline

PACKAGE = Path(maefuse_hf.__file__).parent

TRAVELS = {
    "colour.py",
    "configuration_maefuse.py",
    "decoder.py",
    "eight_bit.py",
    "false_colour.py",
    "fusion_attention.py",
    "fusion_modules.py",
    "guide.py",
    "image_files.py",
    "image_processing_maefuse.py",
    "input_checks.py",
    "loading.py",
    "losses.py",
    "merging_block.py",
    "model_output.py",
    "modeling_maefuse.py",
    "patches.py",
    "pipeline_maefuse.py",
    "position_embedding.py",
    "pretrained_maefuse.py",
    "refinement.py",
    "strategies.py",
    "tiles.py",
    "whole_files.py",
}


def imports(path):
    """(level, module) of every import of a file, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((0, name.name) for name in node.names)


def test_a_saved_pipeline_takes_exactly_these_files_along(tmp_path):
    pipeline = MaeFusePipeline(model=small_model(), image_processor=MaeFuseImageProcessor(size_divisor=8))
    pipeline.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == TRAVELS


def test_flat_is_only_what_travels():
    assert {path.name for path in PACKAGE.glob("*.py")} == TRAVELS | {"__init__.py"}


def test_what_travels_imports_nothing_that_stays():
    modules = {name.removesuffix(".py") for name in TRAVELS}
    for name in TRAVELS:
        relative = {module for level, module in imports(PACKAGE / name) if level}
        absolute = {module.split(".")[0] for level, module in imports(PACKAGE / name) if not level}
        assert relative <= modules, name
        # what reads .pth files stays at home
        assert not absolute & {"maefuse_hf", "pickle"}, name
