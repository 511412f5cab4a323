import pytest
import torch

from training.losses import (
    alignment_terms,
    fusion_terms,
    laplacian_loss,
    laplacian_magnitude,
    reconstruction_terms,
    require_fusion_terms,
    weighted_sum,
)


def test_terms_are_named():
    picture = torch.rand(1, 1, 8, 8)
    assert reconstruction_terms(picture + 0.5, picture)["reconstruction"] == pytest.approx(0.25)
    features = torch.rand(1, 4, 8)
    assert alignment_terms(features + 2, features, features)["alignment"] == pytest.approx(4)
    terms = fusion_terms(picture, picture, picture, {"gradient": 1.0, "intensity": 1.0})
    assert terms == {"gradient": 0, "intensity": 0}


def test_only_the_weighted_terms_are_made():
    picture = torch.rand(1, 1, 8, 8)
    assert list(fusion_terms(picture, picture, picture, {"gradient": 1.0})) == ["gradient"]


def test_unknown_terms_are_refused():
    with pytest.raises(ValueError, match="loss_weights names colour; the terms are intensity, gradient, laplacian"):
        require_fusion_terms({"colour": 1.0})
    with pytest.raises(ValueError, match="loss_weights gives no term any weight"):
        require_fusion_terms({"intensity": 0.0})
    require_fusion_terms({"intensity": 0.0, "laplacian": 1.0})


def test_the_laplacian_of_a_dot_and_of_a_plane():
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 0.5
    expected = torch.zeros(5, 5)
    expected[2, 2] = 2.0
    expected[[1, 3, 2, 2], [2, 2, 1, 3]] = 0.5
    assert torch.equal(laplacian_magnitude(dot)[0, 0], expected)
    plane = (torch.arange(5.0)[:, None] + 2 * torch.arange(5.0))[None, None]
    assert torch.equal(laplacian_magnitude(plane)[..., 1:-1, 1:-1], torch.zeros(1, 1, 3, 3))


def test_the_laplacian_loss_wants_the_stronger_of_both():
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 0.5
    nothing = torch.zeros(1, 1, 5, 5)
    # a dot of half a grey value: once 2 and four times 0.5, over 25 pixels
    assert laplacian_loss(nothing, dot, nothing) == pytest.approx(4 / 25)
    assert laplacian_loss(nothing, dot / 2, dot) == pytest.approx(4 / 25)
    assert laplacian_loss(-dot, nothing, dot) == 0


def test_the_total_is_weighted():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert weighted_sum(terms, {"a": 10.0}) == 23
