import numpy as np
import pytest
import torch
from conftest import small_config, small_model
from insights import (
    FROM_INFRARED,
    FROM_PHOTO,
    OVERLAY,
    blend_weight_image,
    enlarged,
    feature_images,
    has_blend_weights,
    infrared_blend_weights,
)
from PIL import Image

from maefuse_hf import MaeFuseOutput


class TestFeatureImages:
    def features(self):
        """Six tokens, whose first entry varies most, then the third, then the second."""
        table = torch.zeros(6, 5)
        table[:, 0] = torch.tensor([-4.0, 4, -4, 4, -4, 4])
        table[:, 2] = torch.tensor([-2.0, -2, 2, 2, 0, 0])
        table[:, 1] = torch.tensor([0.5, 0.5, 0.5, 0.5, -1, -1])
        return table

    def test_red_is_the_strongest_direction(self):
        features = self.features()
        image = feature_images({"one": features}, {"one": torch.zeros(6, 5)}, (2, 3))["one"]
        assert image.mode == "RGB" and image.size == (3, 2)
        colours = np.asarray(image).reshape(6, 3)
        for channel, entry in enumerate((0, 2, 1)):
            values = features[:, entry]
            expected = 255 * (0.5 + values / (3 * values.std()))
            np.testing.assert_allclose(colours[:, channel], expected.clamp(0, 255).round(), atol=1)

    def test_what_an_empty_image_has_is_taken_off(self):
        places = 100 * torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
        nothing = {"one": torch.zeros(6, 5)}
        plain = feature_images({"one": self.features()}, nothing, (2, 3))["one"]
        placed = feature_images({"one": self.features() + places}, {"one": places}, (2, 3))["one"]
        np.testing.assert_allclose(np.asarray(plain, int), np.asarray(placed, int), atol=1)

    def test_one_colour_is_one_content_in_all(self):
        both = {"one": self.features(), "two": self.features().flip(0)}
        images = feature_images(both, {name: torch.zeros(6, 5) for name in both}, (2, 3))
        one, two = (np.asarray(image).reshape(6, 3) for image in images.values())
        assert np.array_equal(one, two[::-1])

    def test_an_even_image_is_grey(self):
        image = feature_images({"one": torch.ones(6, 5)}, {"one": torch.zeros(6, 5)}, (2, 3))["one"]
        assert (np.asarray(image) == 128).all()


class TestShares:
    def test_infrared_comes_first(self):
        weights = torch.zeros(1, 2, 6, 18)
        weights[0, 0, :, 4], weights[0, 1, :, 4] = 1, 0.5
        weights[0, 1, :, 13] = 0.5
        weights[0, :, 5] = 0
        weights[0, :, 5, 9] = 1
        weights = infrared_blend_weights(MaeFuseOutput(attentions={"contour_to_both": weights}), (2, 3))
        assert weights.tolist() == [[0.75, 0.75, 0.75], [0.75, 0.75, 0]]

    def test_from_a_model(self, images):
        model = small_model(fusion_attention="local", merging_joint_softmax=True)
        infrared, visible = (one[:1] for one in images)
        with torch.no_grad():
            outputs = model(infrared, visible, output_attentions=True)
        weights = infrared_blend_weights(outputs, (5, 8))
        assert weights.shape == (5, 8) and weights.min() > 0 and weights.max() < 1 and np.ptp(weights) > 0

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"fusion_attention": "local", "merging_joint_softmax": True}, True),
            ({"fusion_attention": "local", "merging_joint_softmax": False}, False),
            ({"fusion_attention": "global", "merging_joint_softmax": True}, False),
            ({"fusion_attention": "pointwise", "merging_joint_softmax": True}, False),
        ],
    )
    def test_who_has_them(self, fields, expected):
        assert has_blend_weights(small_config(**fields)) is expected

    def test_image(self):
        weights = np.array([[0.5, 0.8, 0.2, 1.0]])
        colours = np.asarray(blend_weight_image(weights, Image.new("L", (4, 1), 100)))[0]
        orange, blue = (
            (OVERLAY * np.array(colour) + (1 - OVERLAY) * 100).round() for colour in (FROM_INFRARED, FROM_PHOTO)
        )
        assert np.array_equal(colours, [(100, 100, 100), orange, blue, orange])


def test_enlarged_tokens_are_as_large_as_their_patch():
    tokens = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    large = np.asarray(enlarged(tokens, 4, (10, 7)))
    assert large.shape == (7, 10)
    assert (large[:4, :4] == 0).all() and (large[4:, 8:] == 5).all()
