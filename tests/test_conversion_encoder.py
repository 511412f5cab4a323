"""Files in the original layout are loaded in test_conversion_mae.py."""

import pytest
import torch
from transformers import ViTMAEConfig, ViTMAEModel

from maefuse_hf.conversion.encoder import model_from_encoder


def test_a_folder_goes_to_from_encoder_pretrained(tmp_path):
    encoder = ViTMAEModel(
        ViTMAEConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64, image_size=32)
    )
    encoder.save_pretrained(tmp_path)
    model = model_from_encoder(tmp_path, decoder_hidden_size=24, decoder_num_attention_heads=2)
    assert model.decoder.embed.out_features == 24
    expected, result = encoder.state_dict(), model.encoder.state_dict()
    assert all(torch.equal(result[name], expected[name]) for name in expected)


def test_a_folder_has_its_own_number_of_heads(tmp_path):
    with pytest.raises(ValueError, match=r"encoder_heads=4 is for \.pth files"):
        model_from_encoder(tmp_path, encoder_heads=4)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mae_pretrain\.pth: there is no such file"):
        model_from_encoder(tmp_path / "mae_pretrain.pth")
