import pytest
import torch
from conftest import small_config, small_model

from maefuse_hf import MaeFuseConfig, MaeFuseModel
from maefuse_hf.losses import alignment_loss
from training.initialization import initialize_decoder_as_read_out, initialize_fusion_at_mean


def one_channel_config(**fields) -> MaeFuseConfig:
    encoder = small_config().encoder_config.to_dict() | {"num_channels": 1}
    return small_config(encoder_config=encoder, image_mean=[0.45], image_std=[0.27], **fields)


class TestInitialization:
    @pytest.mark.parametrize("loaded", [False, True])
    @pytest.mark.parametrize("joint_softmax", [False, True])
    def test_fusion_starts_at_the_alignment_target(self, images, joint_softmax, loaded, tmp_path):
        model = small_model(fusion_attention="local", merging_joint_softmax=joint_softmax)
        if loaded:
            model.save_pretrained(tmp_path)
            model = MaeFuseModel.from_pretrained(tmp_path)
        far = model(*images)
        initialize_fusion_at_mean(model, own_place_logit=50.0)
        for module in (model.comparative_fusion.cross_attention, model.merging_fusion.merging_attention):
            torch.nn.init.zeros_(module.q_proj.weight)
        near = model(*images)
        sources = near.infrared_features, near.visible_features
        assert alignment_loss(far.contour_features, *sources) > 0.1
        assert alignment_loss(near.contour_features, *sources) < 1e-10
        normed = model.merging_fusion.norm(near.contour_features)
        assert torch.allclose(near.fused_features, normed, atol=1e-5)

    @pytest.mark.parametrize("loaded", [False, True])
    def test_decoder_starts_as_a_linear_read_out(self, loaded, tmp_path):
        model = MaeFuseModel(
            one_channel_config(decoder_hidden_size=32, decoder_num_attention_heads=4, decoder_position_embedding=False)
        ).eval()
        if loaded:
            model.save_pretrained(tmp_path)
            model = MaeFuseModel.from_pretrained(tmp_path)
        weight, bias = torch.randn(64, 32), torch.randn(64)
        initialize_decoder_as_read_out(model.decoder, weight, bias)
        features = model.encode(torch.rand(1, 1, 16, 16))
        assert torch.allclose(model.decoder(features, (2, 2)), features @ weight.T + bias, atol=1e-4)

    @pytest.mark.parametrize(
        ("fields", "shape", "message"),
        [
            ({"decoder_position_embedding": False}, (192, 32), r"decoder 24, encoder 32"),
            ({"decoder_hidden_size": 32}, (192, 32), r"decoder_position_embedding=False \(it is True\)"),
            (
                {"decoder_hidden_size": 32, "decoder_position_embedding": False},
                (64, 32),
                r"The read-out is \(64, 32\); \(192, 32\) is needed",
            ),
        ],
    )
    def test_a_read_out_that_does_not_fit_is_refused(self, fields, shape, message):
        model = MaeFuseModel(small_config(**fields))
        with pytest.raises(ValueError, match=message):
            initialize_decoder_as_read_out(model.decoder, torch.zeros(shape), torch.zeros(shape[0]))
