from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from maefuse_hf.example_scene.scene import ExampleScene, render_example_pair, render_example_scene


@pytest.fixture(scope="module", params=[0, 1, 2])
def scene(request: pytest.FixtureRequest) -> ExampleScene:
    return render_example_scene(480, 640, request.param)


def infrared_levels(scene: ExampleScene) -> np.ndarray:
    return np.asarray(scene.infrared, np.float64)


def visible_levels(scene: ExampleScene) -> np.ndarray:
    return np.asarray(scene.visible.convert("L"), np.float64)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    return np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0


def surroundings(scene: ExampleScene, mask: np.ndarray) -> np.ndarray:
    """The pixels around a person, less the blurred outline and other people."""
    everyone = np.any([person.mask for person in scene.people], axis=0)
    return grown(mask, 10) & ~grown(mask, 2) & ~grown(everyone, 1)


def test_default_pair_is_registered_in_size_and_has_the_right_modes() -> None:
    infrared, visible = render_example_pair()
    assert (infrared.mode, visible.mode) == ("L", "RGB")
    assert infrared.size == visible.size == (640, 480)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (101, 333), (320, 65), (256, 320)])
def test_any_size_and_shape(height: int, width: int) -> None:
    scene = render_example_scene(height, width, seed=3)
    assert scene.infrared.size == scene.visible.size == (width, height)
    assert scene.sign.shape == (height, width)
    assert all(person.mask.shape == (height, width) for person in scene.people)


def test_same_arguments_give_the_same_images_and_another_seed_does_not() -> None:
    first, again, other = (render_example_pair(120, 160, seed) for seed in (5, 5, 6))
    assert [image.tobytes() for image in first] == [image.tobytes() for image in again]
    assert first[0].tobytes() != other[0].tobytes()
    assert first[1].tobytes() != other[1].tobytes()


def test_the_pair_is_the_scene_without_its_masks() -> None:
    scene = render_example_scene(120, 160, seed=1)
    infrared, visible = render_example_pair(120, 160, seed=1)
    assert infrared.tobytes() == scene.infrared.tobytes()
    assert visible.tobytes() == scene.visible.tobytes()


def test_another_size_shows_the_same_scene() -> None:
    small, large = (render_example_scene(height, height * 4 // 3) for height in (240, 480))
    for little, big in zip(small.people, large.people, strict=True):
        assert little.hidden == big.hidden
        if big.mask.sum() > 400:
            rows, columns = (2 * axis.mean() for axis in np.nonzero(little.mask))
            np.testing.assert_allclose((rows, columns), [axis.mean() for axis in np.nonzero(big.mask)], atol=2.5)


def test_people_are_bright_in_infrared_and_the_hidden_ones_lost_in_visible(scene: ExampleScene) -> None:
    infrared, visible = infrared_levels(scene), visible_levels(scene)
    hidden = [person for person in scene.people if person.hidden]
    assert len(hidden) == 4
    for person in hidden:
        around = surroundings(scene, person.mask)
        assert infrared[person.mask].mean() - infrared[around].mean() > 50
        assert abs(visible[person.mask].mean() - visible[around].mean()) < 25


def test_one_person_stands_in_the_light(scene: ExampleScene) -> None:
    visible = visible_levels(scene)
    lit = max((person for person in scene.people if not person.hidden), key=lambda person: person.mask.sum())
    darkest = [np.percentile(visible[person.mask], 90) for person in scene.people if person.hidden]
    assert np.percentile(visible[lit.mask], 90) > max(darkest)


def test_heat_lies_where_the_people_are(scene: ExampleScene) -> None:
    nearest = max(scene.people, key=lambda person: person.mask.sum())
    window = grown(nearest.mask, 6) & ~np.any(
        [grown(person.mask, 3) for person in scene.people if person is not nearest], axis=0
    )
    hot = (infrared_levels(scene) > 130) & window
    mask = nearest.mask & window
    assert (hot & mask).sum() / (hot | mask).sum() > 0.75


def test_a_street_lamp_is_at_the_same_pixels_in_both_images(scene: ExampleScene) -> None:
    above_the_sign = (slice(0, 70), slice(400, 500))
    hottest = infrared_levels(scene)[above_the_sign] > 250
    brightest = visible_levels(scene)[above_the_sign] > 235
    for warm, bright in zip(np.nonzero(hottest), np.nonzero(brightest), strict=True):
        assert abs(warm.mean() - bright.mean()) < 1.5


def test_the_sign_is_read_in_visible_only(scene: ExampleScene) -> None:
    assert scene.sign.sum() > 4000
    assert visible_levels(scene)[scene.sign].std() > 40
    inner = ~grown(~scene.sign, 3)
    assert infrared_levels(scene)[inner].std() < 4


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"64 pixels or more on each side, got height=63, width=640"):
        render_example_pair(63, 640)
    with pytest.raises(ValueError, match=r"got height=480, width=10"):
        render_example_scene(480, 10)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"seed of 0 or more, got seed=-1"):
        render_example_pair(seed=-1)
