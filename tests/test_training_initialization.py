import pytest
import torch
from conftest import small_config, small_model

from maefuse_hf import MaeFuseConfig, MaeFuseModel
from maefuse_hf.losses import alignment_loss
from training.initialization import (
    initialize_decoder_as_read_out,
    initialize_fusion_at_mean,
    with_fresh_fusion,
    with_new_layers,
)


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
        far = model(*images, output_features=True)
        initialize_fusion_at_mean(model, own_place_logit=50.0)
        for module in (model.comparative_fusion.cross_attention, model.merging_fusion.merging_attention):
            torch.nn.init.zeros_(module.q_proj.weight)
        near = model(*images, output_features=True)
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
        assert torch.allclose(model.decoder(features, (2, 2))[0], features @ weight.T + bias, atol=1e-4)

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


class TestNewLayers:
    FIELDS = {"merging_blocks": 2, "source_detail_sigma": 2.0}

    @pytest.mark.parametrize("fusion", ["mean", "cfm", "mfm"])
    def test_they_start_without_effect_on_the_decoded_image(self, images, fusion):
        trained = small_model(fusion_attention="local", merging_joint_softmax=True)
        model = with_new_layers(trained, **self.FIELDS).eval()
        before, after = (each(*images, fusion=fusion, output_features=True) for each in (trained, model))
        assert len(model.merging_fusion.blocks) == 2
        assert torch.equal(after.decoded, before.decoded)
        assert torch.equal(after.fused_features, before.fused_features)

    def test_trust_starts_without_effect(self, images):
        assert not with_new_layers(small_model(), **self.FIELDS)(*images).trust.any()

    def test_all_other_weights_and_fields_are_the_trained_ones(self):
        trained = small_model(tile_size=4)
        model = with_new_layers(trained, **self.FIELDS)
        weights = model.state_dict()
        assert all(torch.equal(weights[name], value) for name, value in trained.state_dict().items())
        changed = {name for name, value in model.config.to_dict().items() if trained.config.to_dict()[name] != value}
        assert changed == set(self.FIELDS)

    def test_layers_that_there_are_stay_as_they_were_trained(self, images):
        trained = small_model(merging_blocks=1, source_detail_sigma=2.0)
        assert torch.equal(with_new_layers(trained)(*images).fused, trained(*images).fused)
        more = with_new_layers(trained, merging_blocks=3)
        assert torch.equal(more(*images).fused, trained(*images).fused)
        assert more.merging_fusion.blocks[0].mlp[2].weight.abs().sum() > 0
        assert all((block.mlp[2].weight == 0).all() for block in more.merging_fusion.blocks[1:])

    def test_new_blocks_can_be_trained(self, images):
        model = with_new_layers(small_model(), **self.FIELDS)
        model(*images, return_loss=True).loss.backward()
        assert all(block.mlp[2].weight.grad.abs().sum() > 0 for block in model.merging_fusion.blocks)
        assert model.decoder.weigh.weight.grad.abs().sum() > 0

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"decoder_hidden_size": 32}, "decoder.embed.bias, decoder.embed.weight"),
            ({"fusion_attention": "local"}, "comparative_fusion.cross_attention.offset_bias"),
            ({"merging_blocks": 0}, "merging_fusion.blocks.0.attention.k_proj.bias"),
            ({"source_detail_sigma": None}, "decoder.weigh.bias, decoder.weigh.weight"),
        ],
    )
    def test_any_other_change_is_refused(self, fields, named):
        trained = small_model(merging_blocks=1, source_detail_sigma=2.0)
        with pytest.raises(ValueError, match=f"changes other layers than new ones: {named}.*Only merging_blocks and"):
            with_new_layers(trained, **fields)


class TestFreshFusion:
    def test_encoder_and_decoder_stay_and_fusion_is_new(self, images):
        trained = small_model(fusion_attention="local", merging_blocks=1, source_detail_sigma=2.0)
        fields = {"fusion_attention": "global", "merging_blocks": 0, "source_detail_sigma": None}
        model = with_fresh_fusion(trained, **fields).eval()
        before, after = trained.state_dict(), model.state_dict()
        kept = [name for name in after if name.startswith(("encoder.", "decoder."))]
        assert all(torch.equal(after[name], before[name]) for name in kept)
        assert not any(name.startswith("decoder.weigh.") for name in after)
        assert model.config.fusion_attention == "global"
        assert not torch.equal(
            model.comparative_fusion.cross_attention.v_proj.weight,
            trained.comparative_fusion.cross_attention.v_proj.weight,
        )
        mean, expected = (each(*images, fusion="mean").decoded for each in (model, trained))
        assert torch.equal(mean, expected)

    def test_the_random_state_decides_the_new_modules(self):
        trained = small_model()
        weights = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            weights.append(with_fresh_fusion(trained).merging_fusion.mlp[0].weight)
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    def test_another_decoder_is_refused(self):
        with pytest.raises(ValueError, match=r"changes encoder or decoder: decoder\.layers"):
            with_fresh_fusion(small_model(), decoder_num_hidden_layers=1)
