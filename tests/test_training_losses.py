import pytest
import torch

from training.losses import alignment_terms, fusion_terms, reconstruction_terms, weighted_sum


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
    picture = torch.rand(1, 1, 8, 8)
    with pytest.raises(ValueError, match="loss_weights names colour; the terms are intensity, gradient"):
        fusion_terms(picture, picture, picture, {"colour": 1.0})


def test_the_total_is_weighted():
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert weighted_sum(terms, {"a": 10.0}) == 23
