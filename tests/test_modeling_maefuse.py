import json

import pytest
import torch
from conftest import small_config, small_model
from safetensors.torch import load_file, save_file
from torch.nn.functional import l1_loss
from transformers import AutoModel, ViTMAEConfig, ViTMAEForPreTraining, ViTMAEModel

from maefuse_hf import MaeFuseConfig, MaeFuseModel, MaeFuseOutput
from maefuse_hf.losses import fusion_terms, gradient_loss, intensity_loss, weighted_sum
from maefuse_hf.position_embedding import sincos_position_embedding
from maefuse_hf.refinement import (
    enlarged,
    source_weights,
    split_detail,
    take_coarse_structure,
    take_detail,
    with_contrast_of_decoded,
)

ATTENTIONS = ["global", "local", "pointwise"]


def one_channel_config(**fields) -> MaeFuseConfig:
    encoder = small_config().encoder_config.to_dict() | {"num_channels": 1}
    return small_config(encoder_config=encoder, image_mean=[0.45], image_std=[0.27], **fields)


class TestEncoder:
    @pytest.mark.parametrize("size", [(32, 32), (40, 64), (8, 24)])
    def test_equals_transformers_with_unshuffled_tokens(self, size):
        model = small_model()
        images = torch.rand(2, 1, *size)
        tokens = size[0] // 8 * (size[1] // 8)
        noise = torch.arange(tokens, dtype=torch.float32).expand(2, -1)
        expected = model.encoder(model.normalize(images), noise=noise, interpolate_pos_encoding=True)
        assert torch.allclose(model.encode(images), expected.last_hidden_state[:, 1:], atol=1e-6, rtol=0)

    def test_runs_once_on_both_images(self, images):
        model, calls = small_model(), []
        model.encoder.layernorm.register_forward_hook(lambda module, inputs, output: calls.append(output.shape[0]))
        model(*images)
        assert calls == [4]

    def test_input_is_normalised_with_the_configured_statistics(self):
        model = MaeFuseModel(small_config(image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.25, 1.0]))
        channels = model.normalize(torch.full((1, 1, 8, 8), 0.6))
        assert torch.allclose(channels[0, :, 0, 0], torch.tensor([1.0, 1.6, 0.3]))

    def test_without_cls_token_patches_see_only_patches(self, images):
        model = small_model(use_cls_token=False)
        before = model(*images).fused
        torch.nn.init.normal_(model.encoder.embeddings.cls_token, std=9)
        assert torch.equal(model(*images).fused, before)
        assert not torch.allclose(small_model()(*images).fused, before)

    def test_native_positions_are_sin_cos_of_the_actual_grid(self, images):
        native, interpolated = small_model(position_embedding="native"), small_model()
        square = torch.rand(1, 1, 32, 32)
        assert torch.allclose(native.encode(square), interpolated.encode(square), atol=1e-6)
        assert not torch.allclose(native.encode(images[0]), interpolated.encode(images[0]), atol=1e-3)

    def test_a_fresh_encoder_has_sin_cos_positions(self):
        positions = MaeFuseModel(small_config()).encoder.embeddings.position_embeddings
        assert (positions[:, 0] == 0).all()
        assert torch.equal(positions[0, 1:], sincos_position_embedding(4, 4, 32))


class TestFreezing:
    def trainable(self, model):
        return {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}

    def test_the_encoder_stays_frozen(self, tmp_path):
        model = MaeFuseModel(small_config())
        fusion_and_decoder = {"comparative_fusion", "merging_fusion", "decoder"}
        assert self.trainable(model) == fusion_and_decoder
        model.save_pretrained(tmp_path)
        loaded = MaeFuseModel.from_pretrained(tmp_path)
        assert self.trainable(loaded) == fusion_and_decoder
        assert loaded.train() is loaded
        assert self.trainable(loaded) == fusion_and_decoder
        assert loaded.training and not any(module.training for module in loaded.encoder.modules())

    def test_an_encoder_that_is_not_frozen_trains_all_but_its_positions(self, tmp_path):
        MaeFuseModel(small_config(freeze_encoder=False)).save_pretrained(tmp_path)
        model = MaeFuseModel.from_pretrained(tmp_path).train()
        assert model.encoder.training
        fixed = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
        assert fixed == ["encoder.embeddings.position_embeddings"]


class TestForward:
    def test_shapes_range_and_names(self, images):
        output = small_model()(*images, output_features=True)
        assert isinstance(output, MaeFuseOutput)
        assert output.fused.shape == (2, 1, 40, 64)
        assert output.fused.min() >= 0 and output.fused.max() <= 1
        for name in ("contour_features", "fused_features", "infrared_features", "visible_features"):
            assert output[name].shape == (2, 40, 32)
        assert output.loss is None and output.attentions is None

    def test_features_are_kept_only_where_asked_for(self, images):
        outputs, with_features = small_model()(*images), small_model()(*images, output_features=True)
        assert list(outputs) == ["fused", "decoded"]
        assert with_features.keys() - outputs.keys() == {
            "contour_features",
            "fused_features",
            "infrared_features",
            "visible_features",
        }
        assert torch.equal(outputs.fused, with_features.fused)

    def test_tuple_output(self, images):
        fused = small_model()(*images, return_dict=False)[0]
        assert torch.equal(fused, small_model()(*images).fused)

    def test_mean_fusion_decodes_the_mean_feature(self, images):
        model = small_model()
        output = model(*images, fusion="mean", output_features=True)
        mean = (output.infrared_features + output.visible_features) / 2
        assert torch.equal(output.fused_features, mean)
        assert torch.equal(output.fused, model.decode(mean, (5, 8)).clamp(0, 1))
        assert output.contour_features is None

    def test_cfm_feeds_the_decoder_alone(self, images):
        output = small_model()(*images, fusion="cfm", output_features=True)
        assert torch.equal(output.fused_features, output.contour_features)

    @pytest.mark.parametrize("contour", ["infrared", "visible"])
    def test_a_modality_in_place_of_the_contour(self, images, contour):
        model = small_model()
        output = model(*images, contour=contour, output_features=True)
        assert torch.equal(output.contour_features, output[f"{contour}_features"])
        expected = model.merge(output.infrared_features, output.visible_features, output.contour_features, (5, 8))
        assert torch.equal(output.fused_features, expected[0])
        assert not torch.allclose(output.fused, model(*images).fused)

    @pytest.mark.parametrize("attention", ["global", "local"])
    def test_fusion_without_joint_softmax_is_symmetric_as_the_papers_equations(self, images, attention):
        model = small_model(fusion_attention=attention)
        infrared, visible = images
        assert torch.allclose(model(infrared, visible).fused, model(visible, infrared).fused, atol=1e-6)

    def test_loss_is_equation_four_on_the_unclipped_image(self, images):
        model = small_model(loss_weights={"intensity": 1.0, "gradient": 3.0})
        model.decoder.predict.bias.data += 2
        output = model(*images, return_loss=True, output_features=True)
        fused = model.decode(output.fused_features, (5, 8))
        assert fused.min() < 0 or fused.max() > 1
        expected = intensity_loss(fused, *images) + 3 * gradient_loss(fused, *images)
        assert torch.isclose(output.loss, expected)
        output.loss.backward()
        assert model.merging_fusion.norm.weight.grad.abs().sum() > 0
        assert model.encoder.layernorm.weight.grad is None

    def test_patches_are_decoded_in_raster_order(self):
        model = MaeFuseModel(one_channel_config())
        values = torch.arange(2.0 * 3 * 8 * 8).reshape(1, 6, 64)
        model.decoder.forward = lambda features, grid: (values, None)
        image = model.decode(torch.zeros(1, 6, 32), (2, 3))
        assert image.shape == (1, 1, 16, 24)
        patch = image[0, 0, 8:16, 16:24]
        expected = torch.arange(5 * 64.0, 6 * 64.0).reshape(8, 8) * 0.27 + 0.45
        assert torch.allclose(patch, expected)

    def test_three_predicted_channels_become_luminance(self):
        model = MaeFuseModel(small_config(image_mean=[0.0] * 3, image_std=[1.0] * 3))
        values = torch.tensor([1.0, 0.5, 0.25]).repeat(64).expand(1, 1, 192)
        model.decoder.forward = lambda features, grid: (values, None)
        expected = 0.299 * 1 + 0.587 * 0.5 + 0.114 * 0.25
        assert torch.allclose(model.decode(torch.zeros(1, 1, 32), (1, 1)), torch.tensor(expected))


class TestAttentions:
    @pytest.mark.parametrize("attention", ["global", "local"])
    def test_weights_by_name(self, images, attention):
        model = small_model(fusion_attention=attention)
        model.set_attn_implementation("eager")
        keys = 40 if attention == "global" else 9
        attentions = model(*images, output_attentions=True).attentions
        names = ["infrared_to_visible", "visible_to_infrared", "contour_to_infrared", "contour_to_visible"]
        assert list(attentions) == names
        for weights in attentions.values():
            assert weights.shape == (2, 4, 40, keys)
            assert torch.allclose(weights.sum(-1), torch.ones(2, 4, 40), atol=1e-5)

    def test_joint_softmax_is_one_softmax_over_both(self, images):
        model = small_model(fusion_attention="local", merging_joint_softmax=True)
        weights = model(*images, contour="infrared", output_attentions=True).attentions
        assert list(weights) == ["contour_to_both"]
        assert weights["contour_to_both"].shape == (2, 4, 40, 18)

    def test_a_kernel_without_weights_is_refused(self, images):
        with pytest.raises(ValueError, match="attn_implementation='sdpa' gives no weights"):
            small_model()(*images, output_attentions=True)
        with pytest.raises(ValueError, match="pointwise attention has none"):
            small_model(fusion_attention="pointwise")(*images, output_attentions=True)


class TestInvariances:
    @pytest.mark.parametrize("attention", ATTENTIONS)
    @pytest.mark.parametrize("joint_softmax", [False, True])
    def test_an_image_alone_and_in_a_batch(self, images, attention, joint_softmax):
        model = small_model(fusion_attention=attention, merging_joint_softmax=joint_softmax)
        infrared, visible = images
        together = model(infrared, visible).fused
        assert together.std() > 0.05
        alone = torch.cat([model(infrared[k : k + 1], visible[k : k + 1]).fused for k in range(2)])
        assert torch.allclose(together, alone, atol=1e-6)
        swapped = model(infrared.flip(0), visible.flip(0)).fused
        assert torch.allclose(together, swapped.flip(0), atol=1e-6)

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_eager_and_sdpa_agree(self, images, attention, tmp_path):
        model = small_model(fusion_attention=attention)
        expected = model(*images).fused
        model.save_pretrained(tmp_path)
        loaded = MaeFuseModel.from_pretrained(tmp_path, attn_implementation="eager")
        assert loaded.decoder.block_config._attn_implementation == "eager"
        assert torch.allclose(loaded(*images).fused, expected, atol=1e-5)
        model.set_attn_implementation("eager")
        assert torch.equal(model(*images).fused, loaded(*images).fused)

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_bfloat16(self, images, attention, tmp_path):
        model = small_model(fusion_attention=attention)
        model.save_pretrained(tmp_path)
        half = MaeFuseModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
        assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
        for inputs in (images, [image.bfloat16() for image in images]):
            fused = half(*inputs).fused
            assert fused.dtype == torch.float32
            assert l1_loss(fused, model(*images).fused) < 0.01

    def test_gradient_checkpointing_gives_the_same_gradients(self, images):
        def gradients(model):
            model.train()(*images, return_loss=True).loss.backward()
            return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

        plain, checkpointed = small_model(freeze_encoder=False), small_model(freeze_encoder=False)
        checkpointed.activation_checkpointing_enable()
        expected = gradients(plain)
        result = gradients(checkpointed)
        assert expected.keys() == result.keys()
        assert len(expected) > 60
        assert all(torch.allclose(result[name], expected[name], atol=1e-7) for name in expected)

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_compiles_to_one_graph(self, images, attention):
        model = small_model(fusion_attention=attention)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            assert torch.allclose(compiled(*images).fused, model(*images).fused, atol=1e-6)


def eight(patches: slice) -> slice:
    """Pixels of a row of patches."""
    return slice(8 * patches.start, 8 * patches.stop)


class TestTiles:
    @pytest.fixture
    def large(self):
        """One pair of 12x9 patches."""
        return torch.rand(2, 1, 1, 96, 72, generator=torch.Generator().manual_seed(3))

    def test_an_image_within_one_window_is_as_without(self, images):
        expected = small_model()(*images, output_features=True)
        result = small_model(tile_size=8)(*images, output_features=True)
        for name in ("fused", "infrared_features", "fused_features"):
            assert torch.allclose(result[name], expected[name], atol=1e-6)

    @pytest.mark.parametrize("fusion", ["mean", "cfm", "mfm"])
    def test_every_window_goes_through_the_whole_model_alone(self, large, fusion):
        whole, windowed = small_model(), small_model(tile_size=4)
        outputs = windowed(*large, fusion=fusion, output_features=True)
        # tiles begin at rows 0, 2, 4, 6, 8 and columns 0, 2, 3, 5: the outermost two of each have one tile alone
        for rows, columns, own_rows, own_columns in (
            (slice(0, 4), slice(0, 4), slice(0, 2), slice(0, 2)),
            (slice(8, 12), slice(5, 9), slice(2, 4), slice(2, 4)),
        ):
            corner = large[..., eight(rows), eight(columns)]
            alone = whole(*corner, fusion=fusion, output_features=True)
            image = outputs.fused[..., eight(rows), eight(columns)]
            places = (..., eight(own_rows), eight(own_columns))
            assert torch.allclose(image[places], alone.fused[places], atol=1e-6)
            for name in ("infrared_features", "visible_features", "fused_features"):
                tokens = outputs[name].unflatten(1, (12, 9))[:, rows, columns]
                expected = alone[name].unflatten(1, (4, 4))
                assert torch.allclose(tokens[:, own_rows, own_columns], expected[:, own_rows, own_columns], atol=1e-6)

    def test_images_are_blended_and_not_tokens(self, large):
        """An average of tokens at two places is no token that the decoder knows: it came out darker."""
        model = small_model(tile_size=4)
        # one row of tiles, which share two columns of tokens: 0 to 3 and 2 to 5
        pair = large[..., :32, :48]
        left, right = (model(*pair[..., columns]).fused for columns in (slice(0, 32), slice(16, 48)))
        shared = torch.arange(16)
        # a tile's weight falls by one a pixel towards its end
        share = (16 - shared) / 17
        expected = share * left[..., 16:] + (1 - share) * right[..., :16]
        assert torch.allclose(model(*pair).fused[..., 16:32], expected, atol=1e-6)

    def test_reconstruction_is_in_the_same_tiles(self, large):
        whole, windowed = small_model(), small_model(tile_size=4)
        restored = windowed.reconstruct(large[0])
        corner = large[0][..., :32, :32]
        expected = whole.decode(whole.encode(corner), (4, 4))
        assert torch.equal(whole.reconstruct(corner), expected)
        assert torch.allclose(restored[..., :16, :16], expected[..., :16, :16], atol=1e-6)

    def test_attention_weights_of_the_whole_image(self, large):
        whole = small_model(fusion_attention="local")
        windowed = small_model(tile_size=4, fusion_attention="local")
        weights = windowed(*large, output_attentions=True).attentions
        alone = whole(*large[..., :32, :32], output_attentions=True).attentions
        assert weights.keys() == alone.keys()
        for name, of_corner in alone.items():
            assert weights[name].shape == (1, of_corner.shape[1], 108, of_corner.shape[3])
            corner = weights[name].unflatten(2, (12, 9))[:, :, :2, :2]
            assert torch.allclose(corner, of_corner.unflatten(2, (4, 4))[:, :, :2, :2], atol=1e-6)
            assert torch.allclose(weights[name].sum(-1), weights[name].new_ones(()), atol=1e-5)

    def test_global_attention_has_no_weights_of_the_whole_image(self, large):
        model = small_model(tile_size=4, attn_implementation="eager")
        with pytest.raises(ValueError, match=r"fused in 20 tiles.*set tile_size to None"):
            model(*large, output_attentions=True)

    def test_far_tiles_do_not_matter(self, large):
        model = small_model(tile_size=4, fusion_attention="local")
        changed = large.clone()
        changed[..., 64:, :] = 0.5
        assert torch.equal(model(*changed).fused[..., :16, :], model(*large).fused[..., :16, :])
        assert not torch.equal(small_model()(*changed).fused[..., :16, :], small_model()(*large).fused[..., :16, :])

    def test_alone_in_a_batch_and_compiled(self, large):
        model = small_model(tile_size=4)
        both = torch.cat([large, large.flip(-1)], dim=1)
        assert torch.allclose(model(*both).fused[:1], model(*large).fused, atol=1e-6)
        # two tiles
        few = large[..., :32, :48]
        # after other shapes, these would be compiled as dynamic ones, which takes long
        torch.compiler.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            assert torch.allclose(compiled(*few).fused, model(*few).fused, atol=1e-6)

    def test_it_can_be_trained(self, large):
        model = small_model(tile_size=4).train()
        model(*large, return_loss=True).loss.backward()
        assert all(p.grad is not None for p in model.decoder.parameters())


class TestSaving:
    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_save_and_load_gives_the_same_image(self, images, attention, tmp_path):
        model = small_model(fusion_attention=attention)
        model.save_pretrained(tmp_path)
        assert (tmp_path / "model.safetensors").is_file()
        loaded = AutoModel.from_pretrained(tmp_path)
        assert type(loaded) is MaeFuseModel and not loaded.training
        assert torch.equal(loaded(*images).fused, model(*images).fused)

    def test_a_checkpoint_must_fit_exactly(self, tmp_path):
        small_model().save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        weights["stranger.weight"] = torch.zeros(1)
        weights["decoder.norm.bias"] = torch.zeros(3)
        del weights["decoder.predict.bias"]
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError) as error:
            MaeFuseModel.from_pretrained(tmp_path)
        message = str(error.value)
        assert "missing: decoder.predict.bias" in message
        assert "unknown: stranger.weight" in message
        assert "other sizes: decoder.norm.bias (3,) instead of (24,)" in message

    def test_loading_info_is_still_to_be_had(self, tmp_path):
        small_model().save_pretrained(tmp_path)
        model, info = MaeFuseModel.from_pretrained(tmp_path, output_loading_info=True)
        assert isinstance(model, MaeFuseModel) and not info["missing_keys"]

    def test_no_such_checkpoint(self, tmp_path):
        with pytest.raises(OSError, match="no file named model"):
            MaeFuseModel.from_pretrained(tmp_path)


class TestPretrainedEncoder:
    CONFIG = ViTMAEConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )

    @pytest.mark.parametrize("pretraining", [False, True])
    def test_weights_come_from_the_encoder(self, tmp_path, pretraining):
        source = (ViTMAEForPreTraining if pretraining else ViTMAEModel)(self.CONFIG)
        encoder = source.vit if pretraining else source
        torch.nn.init.normal_(encoder.embeddings.position_embeddings)
        source.save_pretrained(tmp_path)
        model = MaeFuseModel.from_encoder_pretrained(tmp_path, decoder_hidden_size=24, decoder_num_attention_heads=2)
        assert model.decoder.embed.out_features == 24
        assert model.config.encoder_config.mask_ratio == 0
        assert str(tmp_path) not in model.config.to_json_string(use_diff=False)
        expected, result = encoder.state_dict(), model.encoder.state_dict()
        assert expected.keys() == result.keys()
        assert all(torch.equal(result[name], expected[name]) for name in expected)
        assert not any(parameter.requires_grad for parameter in model.encoder.parameters())

    def test_statistics_come_from_its_preprocessor(self, tmp_path):
        ViTMAEModel(self.CONFIG).save_pretrained(tmp_path)
        assert list(MaeFuseModel.from_encoder_pretrained(tmp_path).config.image_mean) == [0.485, 0.456, 0.406]
        statistics = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(statistics))
        config = MaeFuseModel.from_encoder_pretrained(tmp_path).config
        assert (list(config.image_mean), list(config.image_std)) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])

    @pytest.mark.parametrize("pretraining", [False, True])
    def test_weights_come_from_the_layout_before_transformers_5(self, tmp_path, pretraining):
        source = (ViTMAEForPreTraining if pretraining else ViTMAEModel)(self.CONFIG)
        old_names = {"layers.": "encoder.layer.", "_proj.": ".", "attention.o.": "attention.output.dense."}
        old_names |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
        old_names |= {f"attention.{kind}.": f"attention.attention.{kind}." for kind in ("query", "key", "value")}
        weights = {}
        for name, tensor in source.state_dict().items():
            for kind in ("query", "key", "value"):
                name = name.replace(f".{kind[0]}_proj.", f".{kind}.")
            for new, old in old_names.items():
                name = name.replace(new, old)
            weights[name.replace("decoder.encoder.layer.", "decoder.decoder_layers.")] = tensor.contiguous()
        prefix = "vit." if pretraining else ""
        assert f"{prefix}encoder.layer.1.attention.attention.query.weight" in weights
        assert f"{prefix}encoder.layer.0.intermediate.dense.bias" in weights
        self.CONFIG.save_pretrained(tmp_path)
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        expected = (source.vit if pretraining else source).state_dict()
        result = MaeFuseModel.from_encoder_pretrained(tmp_path).encoder.state_dict()
        assert all(torch.equal(result[name], expected[name]) for name in expected)

    def test_a_file_of_torch_save_is_sent_to_its_reader(self, tmp_path):
        with pytest.raises(ValueError, match=r"mae_pretrain\.pth .*maefuse_hf\.conversion\.model_from_encoder"):
            MaeFuseModel.from_encoder_pretrained(tmp_path / "mae_pretrain.pth")

    def test_an_incomplete_encoder_is_refused(self, tmp_path):
        ViTMAEModel(self.CONFIG).save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        del weights["layernorm.bias"]
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=r"as a ViTMAEModel\. missing: layernorm.bias"):
            MaeFuseModel.from_encoder_pretrained(tmp_path)


class TestWhatThePublishedCheckpointNeeds:
    def test_positions_are_added_at_the_entrance_of_both_fusion_modules(self):
        model, plain = small_model(fusion_position_embedding=True), small_model()
        positions = sincos_position_embedding(2, 3, 32)
        infrared, visible = torch.rand(2, 1, 6, 32)
        given, _ = model.compare(infrared, visible, (2, 3))
        expected, _ = plain.compare(infrared + positions, visible + positions, (2, 3))
        assert torch.equal(given, expected)
        given, _ = model.merge(infrared, visible, expected, (2, 3))
        expected, _ = plain.merge(infrared + positions, visible + positions, expected, (2, 3))
        assert torch.equal(given, expected)

    def test_truncation_by_hand(self):
        model = small_model(truncate_to_8_bit=True, image_mean=[0.0] * 3, image_std=[1.0] * 3)
        torch.nn.init.zeros_(model.decoder.predict.weight)
        levels = torch.tensor([99.9, 300.0, -20.0])
        with torch.no_grad():
            model.decoder.predict.bias.copy_((levels / 255).repeat(64))
        luminance = model.decode(torch.rand(1, 4, 32), (2, 2))
        assert torch.allclose(luminance * 255, torch.tensor(0.299 * 99 + 0.587 * 255), atol=1e-3)
        luminance.sum().backward()
        # as if nothing had been cut: 256 pixels in 64 places of a patch, each with its channel's share
        gradient = model.decoder.predict.bias.grad.view(64, 3)
        assert torch.allclose(gradient, torch.tensor([0.299, 0.587, 0.114]).expand(64, 3) * 4, atol=1e-4)


class TestRefinement:
    SIGMA = 1.5
    # a model that was never trained agrees with nothing: what makes it take some of each image
    FIELDS = {"source_detail_sigma": SIGMA, "detail_agreement": 2.0, "detail_tolerance": 60.0}
    NUMBERS = {"sharpness": 8.0, "floor": 1.0, "limit": 3.0, "agreement": 2.0, "tolerance": 60.0}

    def test_without_it_all_comes_from_the_decoder(self, images):
        model = small_model()
        outputs = model(*images, output_features=True)
        assert outputs.source_weights is None and outputs.trust is None and model.decoder.weigh is None
        assert torch.equal(outputs.decoded, model.decode(outputs.fused_features, model.patch_grid(images[0])))
        assert torch.equal(outputs.fused, outputs.decoded.clamp(0, 1))

    @pytest.mark.parametrize("fusion", ["mean", "cfm", "mfm"])
    @pytest.mark.parametrize("tile_size", [None, 4])
    def test_fused_is_the_decoded_image_with_the_detail_that_its_weights_take(self, images, fusion, tile_size):
        outputs = small_model(**self.FIELDS, tile_size=tile_size)(*images, fusion=fusion)
        weights = outputs.source_weights
        assert weights.shape == (2, 3, 40, 64) and (weights >= 0).all()
        assert torch.allclose(weights.sum(dim=1), torch.ones(2, 40, 64), atol=1e-5)
        assert weights.std(dim=(0, 2, 3)).min() > 0.02
        coarse, details = split_detail(torch.cat([*images, outputs.decoded], dim=1), self.SIGMA)
        assert torch.equal(weights, source_weights(outputs.trust, details, self.SIGMA, **self.NUMBERS))
        assert torch.equal(outputs.fused, take_detail(coarse[:, 2:], details, weights).clamp(0, 1))
        assert not torch.allclose(outputs.fused, outputs.decoded.clamp(0, 1), atol=0.02)

    def test_trust_is_the_second_layer_at_each_pixel(self):
        model = small_model(**self.FIELDS)
        # patch (0, 1): both logits at its pixels in raster order
        logits = torch.zeros(1, 2, 64, 2)
        logits[0, 1, 9] = torch.tensor([1.0, 2.0])
        model.decoder.forward = lambda features, grid: (torch.zeros(1, 2, 192), logits.flatten(2))
        _, trust = model.decode_with_trust(torch.zeros(1, 2, 32), (1, 2))
        assert trust.shape == (1, 2, 8, 16)
        # pixel 9 of a patch of 8 is the second of its second row
        assert trust[0, :, 1, 9].tolist() == [1.0, 2.0]
        assert trust.abs().sum() == 3.0

    def test_the_numbers_of_the_configuration_count(self, images):
        numbers = {"sharpness": 2.0, "floor": 9.0, "limit": 0.5, "agreement": 3.0, "tolerance": 30.0}
        fields = {f"detail_{name}": value for name, value in numbers.items()}
        outputs = small_model(source_detail_sigma=self.SIGMA, **fields)(*images)
        _, details = split_detail(torch.cat([*images, outputs.decoded], dim=1), self.SIGMA)
        assert torch.equal(outputs.source_weights, source_weights(outputs.trust, details, self.SIGMA, **numbers))

    def test_under_detail_gain_sources_have_the_contrast_that_the_decoded_image_has(self, images):
        model = small_model(**self.FIELDS, detail_gain=3.0)
        outputs = model(*images)
        together = torch.cat([*images, outputs.decoded], dim=1)
        coarse, details = split_detail(together, self.SIGMA)
        gained = with_contrast_of_decoded(details[:, :2], together, self.SIGMA, 3.0, self.NUMBERS["floor"])
        details = torch.cat([gained, details[:, 2:]], dim=1)
        assert torch.equal(outputs.fused, take_detail(coarse[:, 2:], details, outputs.source_weights).clamp(0, 1))
        # weights that were trained without it serve as they are
        assert model.state_dict().keys() == small_model(**self.FIELDS).state_dict().keys()

    def test_a_pair_alone_and_in_a_batch(self, images):
        model = small_model(**self.FIELDS)
        infrared, visible = images
        alone = torch.cat([model(infrared[k : k + 1], visible[k : k + 1]).fused for k in range(2)])
        assert torch.allclose(model(*images).fused, alone, atol=1e-6)

    def test_the_loss_is_of_the_decoded_and_of_the_refined_image(self, images):
        model = small_model(**self.FIELDS, loss_weights={"guide": 1.0, "structure": 0.5})
        outputs = model(*images, return_loss=True)
        coarse, details = split_detail(torch.cat([*images, outputs.decoded], dim=1), self.SIGMA)
        refined = take_detail(coarse[:, 2:], details, outputs.source_weights)
        assert refined.min() < 0 or refined.max() > 1
        weights = model.config.loss_weights
        expected = sum(
            weighted_sum(fusion_terms(each, *images, weights), weights) for each in (outputs.decoded, refined)
        )
        assert torch.isclose(outputs.loss, expected)
        outputs.loss.backward()
        assert model.decoder.weigh.weight.grad.abs().sum() > 0

    def test_padding_is_no_content(self, images):
        """Whatever stands in the padding, refinement of the same decoded image gives the same."""
        model, sizes = small_model(**self.FIELDS), torch.tensor([[35, 59], [35, 59]])
        outputs = model(*images, original_sizes=sizes)
        inside = (..., slice(35), slice(59))
        decoded, trust, infrared, visible = (image[inside] for image in (outputs.decoded, outputs.trust, *images))
        coarse, details = split_detail(torch.cat([infrared, visible, decoded], dim=1), self.SIGMA)
        weights = source_weights(trust, details, self.SIGMA, **self.NUMBERS)
        expected = take_detail(coarse[:, 2:], details, weights)
        assert torch.equal(outputs.fused[inside], expected.clamp(0, 1))
        assert not torch.allclose(outputs.fused[inside], model(*images).fused[inside], atol=1e-3)
        assert torch.equal(outputs.source_weights[inside], weights)
        assert torch.equal(outputs.fused[..., 35:, :], outputs.decoded[..., 35:, :].clamp(0, 1))
        assert outputs.source_weights[0, :, 36, 0].tolist() == [0.0, 0.0, 1.0]

    def test_the_size_after_resizing_counts(self, images):
        model, resized = small_model(**self.FIELDS), torch.tensor([[35, 59], [35, 59]])
        outputs = model(*images, original_sizes=10 * resized, resized_sizes=resized)
        assert torch.equal(outputs.fused, model(*images, original_sizes=resized).fused)
        whole = torch.tensor([[40, 64], [40, 64]])
        assert torch.equal(model(*images, original_sizes=whole).fused, model(*images).fused)

    @pytest.mark.parametrize("sizes", [[[35, 59], [35, 60]], [[41, 59], [41, 59]], [[0, 59], [0, 59]]])
    def test_sizes_that_are_not_one_within_the_images_are_refused(self, images, sizes):
        with pytest.raises(ValueError, match=r"sizes before padding .* \(40, 64\)"):
            small_model(**self.FIELDS)(*images, original_sizes=torch.tensor(sizes))

    def test_what_is_refused_is_refused_before_any_work(self, images, monkeypatch):
        model = small_model(**self.FIELDS, loss_weights={"intensity": 0.0})
        monkeypatch.setattr(model, "encode", lambda images: pytest.fail("work was done"))
        for options in ({"output_attentions": True}, {"return_loss": True}, {"original_sizes": torch.zeros(2, 2)}):
            with pytest.raises(ValueError):
                model(*images, **options)


class TestCoarseStructure:
    FIELDS = {"coarse_factor": 2, "coarse_sigma": 3.0}

    def test_an_image_of_one_tile_has_none(self, images):
        assert torch.equal(small_model(**self.FIELDS)(*images).fused, small_model()(*images).fused)

    @pytest.mark.parametrize("fusion", ["mean", "mfm"])
    def test_the_decoded_image_has_that_of_the_pair_shrunk(self, images, fusion):
        model = small_model(**self.FIELDS, tile_size=4)
        # 40x64 at half the size is 20x32, which padding makes 24x32, in tiles again
        small = [torch.nn.functional.avg_pool2d(image, 2) for image in images]
        small = [torch.nn.functional.pad(image, (0, 0, 0, 4), mode="replicate") for image in small]
        coarse = enlarged(model(*small, fusion=fusion).decoded, 2)[..., :40, :]
        plain = small_model(tile_size=4)

        def fuse(infrared, visible, coarse):
            decoded = plain.fuse_tiles(infrared, visible, fusion)["decoded"]
            return {"decoded": take_coarse_structure(decoded, coarse, 3.0)}

        expected = plain.in_tiles(fuse, *images, coarse)["decoded"]
        outputs = model(*images, fusion=fusion)
        assert torch.equal(outputs.decoded, expected)
        assert not torch.allclose(expected, plain(*images, fusion=fusion).decoded, atol=1e-3)

    def test_tiles_that_differ_in_brightness_leave_no_border(self, images, monkeypatch):
        model = small_model(**self.FIELDS, tile_size=4)
        fuse_tiles = model.fuse_tiles

        def flat(infrared, visible, *others):
            """Each tile of many in a brightness of its own."""
            maps, count = fuse_tiles(infrared, visible, *others), len(infrared)
            levels = torch.linspace(0.2, 0.8, count) if count > 2 else torch.full((count,), 0.5)
            return maps | {"decoded": levels.view(-1, 1, 1, 1).expand_as(maps["decoded"])}

        monkeypatch.setattr(model, "fuse_tiles", flat)
        model.config.coarse_factor = 8  # one tile
        assert torch.allclose(model(*images).decoded, torch.full((2, 1, 40, 64), 0.5), atol=1e-5)

    def test_nothing_is_refined_in_the_small_pair(self, images, monkeypatch):
        model = small_model(**self.FIELDS, tile_size=4, source_detail_sigma=1.5)
        refine, sizes = model.refine, []

        def counted(decoded, *others):
            sizes.append(decoded.shape)
            return refine(decoded, *others)

        monkeypatch.setattr(model, "refine", counted)
        model(*images)
        assert sizes == [(2, 1, 40, 64)]

    def test_sides_that_the_factor_does_not_divide(self):
        model = small_model(coarse_factor=3, tile_size=4)
        images = torch.rand(2, 1, 1, 40, 64)
        assert model(*images).fused.shape == (1, 1, 40, 64)


class TestMergingBlocks:
    def test_they_follow_the_residual_mlp_before_the_norm(self, images):
        model = small_model(merging_blocks=2, fusion_attention="local", merging_joint_softmax=True)
        module = model.merging_fusion
        infrared, visible = model.encode(images[0]), model.encode(images[1])
        contour, grid = torch.randn_like(infrared), (5, 8)
        merged, _ = module.merging_attention(contour, infrared, visible, grid=grid)
        merged = merged + module.mlp(merged)
        for block in module.blocks:
            merged = block(merged, infrared, visible, grid)
        assert torch.equal(model.merge(infrared, visible, contour, grid)[0], module.norm(merged))

    def test_without_them_there_is_no_further_weight(self):
        plain = small_model().state_dict().keys()
        assert not [name for name in plain if name.startswith(("merging_fusion.blocks", "decoder.weigh"))]
        added = small_model(merging_blocks=1, source_detail_sigma=1.0).state_dict().keys() - plain
        assert {name for name in added if name.startswith("decoder.")} == {"decoder.weigh.weight", "decoder.weigh.bias"}
        assert {name.split(".")[2] for name in added if name.startswith("merging_fusion.")} == {"0"}

    def test_they_are_saved_loaded_and_checkpointed(self, images, tmp_path):
        model = small_model(merging_blocks=2, source_detail_sigma=1.5, tile_size=4)
        model.save_pretrained(tmp_path)
        loaded = AutoModel.from_pretrained(tmp_path)
        assert torch.equal(loaded(*images).fused, model(*images).fused)
        loaded.activation_checkpointing_enable()
        losses = []
        for each in (model, loaded):
            each.train()(*images, return_loss=True).loss.backward()
            losses.append({name: p.grad for name, p in each.named_parameters() if p.grad is not None})
        assert losses[0].keys() == losses[1].keys()
        assert sum(name.startswith("merging_fusion.blocks.") for name in losses[0]) == 2 * 16
        assert all(torch.allclose(losses[1][name], losses[0][name], atol=1e-6) for name in losses[0])

    def test_eager_attention_bfloat16_and_compiling(self, images, tmp_path):
        model = small_model(merging_blocks=1, source_detail_sigma=1.5)
        expected = model(*images).fused
        model.save_pretrained(tmp_path)
        eager = MaeFuseModel.from_pretrained(tmp_path, attn_implementation="eager")
        assert torch.allclose(eager(*images).fused, expected, atol=1e-5)
        half = MaeFuseModel.from_pretrained(tmp_path, dtype=torch.bfloat16)(*images).fused
        assert half.dtype == torch.float32 and l1_loss(half, expected) < 0.02
        torch.compiler.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            assert torch.allclose(compiled(*images).fused, expected, atol=1e-6)


class TestBadInput:
    @pytest.mark.parametrize(
        ("infrared", "visible", "arguments", "message"),
        [
            ((1, 3, 32, 32), (1, 1, 32, 32), {}, r"infrared has shape \(1, 3, 32, 32\); \(batch, 1, height, width\)"),
            ((1, 1, 32, 32), (1, 32, 32), {}, r"visible has shape \(1, 32, 32\)"),
            ((1, 1, 32, 32), (1, 1, 32, 40), {}, r"\(1, 1, 32, 32\) and visible \(1, 1, 32, 40\); they must be equal"),
            ((1, 1, 30, 32), (1, 1, 30, 32), {}, r"30x32; both sides must be multiples of the patch size 8"),
            ((1, 1, 32, 32), (1, 1, 32, 32), {"fusion": "max"}, r"fusion is 'max'; choose 'mean', 'cfm' or 'mfm'"),
            ((1, 1, 32, 32), (1, 1, 32, 32), {"contour": "x"}, r"contour is 'x'; choose"),
            (
                (1, 1, 32, 32),
                (1, 1, 32, 32),
                {"fusion": "mean", "contour": "infrared"},
                r"contour='infrared' guides the merging module; it needs fusion='mfm', not 'mean'",
            ),
        ],
    )
    def test_is_refused_with_what_came_and_what_is_needed(self, infrared, visible, arguments, message):
        with pytest.raises(ValueError, match=message):
            small_model()(torch.rand(infrared), torch.rand(visible), **arguments)
