"""The rendered example pair: a night street, seen in infrared and in visible light."""

from .scene import ExampleScene, render_example_pair, render_example_scene

__all__ = [
    "ExampleScene",
    "render_example_pair",
    "render_example_scene",
]
