"""Checkpoints of the paper's authors. How the golden numbers were made: `golden/README_conversion.md`."""

import hashlib
from pathlib import Path

import foreign_checkpoints as foreign
import numpy as np
import pytest
import torch
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.conversion.maefuse import convert_checkpoint

GOLDEN = Path(__file__).parent / "golden"
SHA256_OF_INPUTS = {
    "visible": "1be8b9960d99a0f0522b9fdc6bdca4f67860ab2cd14b369e965f52953e9a02a2",
    "infrared": "5bb18a0707b4de9a02e72ac65f317644482b09b78a9e70c2754edcba5a3023f4",
}
HEADS = {"encoder_heads": 4, "decoder_heads": 4}


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN / "official_tiny.npz"))


@pytest.fixture(scope="module")
def pair():
    return [Image.open(GOLDEN / f"official_tiny_{kind}.png") for kind in ("infrared", "visible")]


@pytest.fixture(scope="module")
def official_tiny(golden, tmp_path_factory):
    """The authors' toy checkpoint as a file."""
    tensors = {name: torch.tensor(array) for name, array in golden.items() if name.startswith("model")}
    tensors |= {"model1.pos_embed": foreign.sin_cos(40, 64), "model2.pos_embed": foreign.sin_cos(40, 64)}
    tensors |= {"model1.decoder_pos_embed": foreign.sin_cos(40, 32)}
    path = tmp_path_factory.mktemp("official") / "tiny.pth"
    torch.save({"model": tensors}, path)
    return path


@pytest.fixture(scope="module")
def converted(official_tiny, tmp_path_factory):
    """Model and processor, saved and loaded again."""
    folder = tmp_path_factory.mktemp("converted")
    for part in convert_checkpoint(official_tiny, **HEADS):
        part.save_pretrained(folder)
    return MaeFuseModel.from_pretrained(folder).eval(), MaeFuseImageProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def fused(converted, pair):
    model, processor = converted
    inputs = processor(*pair, return_tensors="pt")
    with torch.inference_mode():
        return inputs, model(**inputs, output_features=True)


def saved(folder, tensors, name="checkpoint.pth", **beside):
    torch.save({"model": tensors, **beside}, folder / name)
    return folder / name


def grey_levels_apart(ours, theirs):
    """The largest difference, and the share of values that differ at all."""
    difference = np.abs(np.asarray(ours).astype(int) - theirs)
    return difference.max(), (difference > 0).mean()


class TestParityWithTheAuthorsCode:
    @pytest.mark.parametrize("kind", ["visible", "infrared"])
    def test_the_network_sees_the_same_grey_values(self, fused, kind):
        levels = fused[0][kind][0, 0].numpy() * 255
        assert levels.shape == (640, 640)
        assert hashlib.sha256(np.rint(levels).astype(np.uint8).tobytes()).hexdigest() == SHA256_OF_INPUTS[kind]
        np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)

    @pytest.mark.parametrize("kind", ["visible", "infrared"])
    def test_features(self, fused, golden, kind):
        features = fused[1][f"{kind}_features"][0, ::40]
        np.testing.assert_allclose(features, golden[f"{kind}_features"], rtol=0, atol=1e-4)

    def test_prediction(self, converted, fused, golden):
        with torch.inference_mode():
            prediction = foreign.patches_to_image(converted[0].decoder(fused[1].fused_features, (40, 40))[0])[0]
        np.testing.assert_allclose(prediction[:, ::15, ::15], golden["prediction"], rtol=0, atol=1e-4)

    def test_fused_luminance(self, fused, golden):
        levels = np.rint(fused[1].fused[0, 0].numpy() * 255)[::5, ::5]
        worst, share = grey_levels_apart(levels, golden["fused_y"])
        assert worst <= 1 and share < 0.01

    def test_image(self, converted, fused, golden):
        inputs, outputs = fused
        image = converted[1].post_process_image_fusion(outputs, inputs)[0]
        assert image.size == (512, 384)
        worst, share = grey_levels_apart(np.asarray(image)[::4, ::4], golden["fused_rgb"])
        assert worst <= 1 and share < 0.05

    def test_an_image_does_not_depend_on_its_neighbours(self, converted, fused, pair):
        model, processor = converted
        mirrored = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in pair]
        inputs = processor(*([one, other] for one, other in zip(pair, mirrored)), return_tensors="pt")
        with torch.inference_mode():
            outputs = model(**inputs, output_features=True)
        assert torch.allclose(outputs.fused_features[:1], fused[1].fused_features, rtol=0, atol=1e-4)
        difference = (outputs.fused[:1] - fused[1].fused).abs() * 255
        assert difference.max() < 1.01 and (difference > 0.01).float().mean() < 0.01


class TestSizes:
    @pytest.mark.parametrize(
        ("sizes", "heads"),
        [
            ({}, (6, 3, 16)),
            ({"width": 64, "depth": 1, "decoder_width": 40, "decoder_depth": 3, "patch": 16, "side": 3}, (4, 5, 16)),
            ({"width": 32, "depth": 12, "decoder_depth": 2, "patch": 4, "side": 12, "mlp_ratio": 4}, (1, 2, 16)),
        ],
    )
    def test_are_read_off_the_tensors(self, tmp_path, sizes, heads):
        tensors = foreign.official(**sizes)
        model, processor = convert_checkpoint(saved(tmp_path, tensors), encoder_heads=heads[0], decoder_heads=heads[1])
        edge = model.config.encoder_config.image_size
        assert edge == sizes.get("patch", 8) * sizes.get("side", 5)
        assert dict(processor.size) == {"height": edge, "width": edge}
        infrared, visible = torch.rand(2, 1, 1, edge, edge, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            outputs = model(infrared, visible, output_features=True)
            grid = (edge // model.patch_size,) * 2
            prediction = foreign.patches_to_image(model.decoder(outputs.fused_features, grid)[0])
            expected = foreign.official_prediction(tensors, infrared, visible, *heads)
        assert torch.allclose(prediction, expected, rtol=0, atol=1e-4)
        channels = ((expected * foreign.STD + foreign.MEAN) * 255).clamp(0, 255).to(torch.uint8).double()
        levels = torch.tensordot(torch.tensor([0.299, 0.587, 0.114]).double(), channels[0], dims=1)
        difference = (outputs.fused[0, 0] * 255 - levels).abs()
        assert difference.max() < 1.01 and (difference > 0.01).double().mean() < 0.01

    def test_published_widths_tell_their_heads(self, tmp_path):
        tensors = foreign.official(width=768, depth=1, decoder_width=512, patch=2, side=2)
        config = convert_checkpoint(saved(tmp_path, tensors))[0].config
        assert (config.encoder_config.num_attention_heads, config.decoder_num_attention_heads) == (12, 16)

    @pytest.mark.parametrize(
        ("heads", "message"),
        [
            (
                {},
                "the encoder is 48 wide, which no .* Give it as encoder_heads .*--encoder-heads.*: 1, 2, 3, 4",
            ),
            ({"encoder_heads": 6}, "the decoder is 24 wide, .* Give it as decoder_heads .*--decoder-heads"),
            ({"encoder_heads": 5, "decoder_heads": 3}, "48 wide, which cannot be split into 5 attention heads"),
            ({"encoder_heads": 6, "decoder_heads": 0}, "24 wide, which cannot be split into 0 attention heads"),
        ],
    )
    def test_heads_that_are_unknown_or_do_not_fit(self, tmp_path, heads, message):
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(saved(tmp_path, foreign.official()), **heads)


class TestFiles:
    HEADS = {"encoder_heads": 6, "decoder_heads": 3}

    def same_as_whole(self, tmp_path, *files):
        whole = convert_checkpoint(saved(tmp_path, foreign.official(), "whole.pth"), **self.HEADS)[0].state_dict()
        tensors = convert_checkpoint(*files, **self.HEADS)[0].state_dict()
        return tensors.keys() == whole.keys() and all(torch.equal(tensors[name], whole[name]) for name in whole)

    @pytest.mark.parametrize("wrapper", ["module.{}", "_orig_mod.{}", "module._orig_mod.{}"])
    def test_prefixes_of_wrappers(self, tmp_path, wrapper):
        file = saved(tmp_path, {wrapper.format(name): tensor for name, tensor in foreign.official().items()})
        assert self.same_as_whole(tmp_path, file)

    def test_prefixes_inside(self, tmp_path):
        file = saved(tmp_path, {k.replace("1.", "1.module.", 1): tensor for k, tensor in foreign.official().items()})
        assert self.same_as_whole(tmp_path, file)

    @pytest.mark.parametrize("prefixes", [("", ""), ("model1.", "model2."), ("module.", "module.")])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_parts_in_two_files(self, tmp_path, prefixes, backwards):
        parts = foreign.autoencoder(), foreign.fusion_layer()
        files = [
            saved(tmp_path, {prefix + name: tensor for name, tensor in part.items()}, f"{number}.pth")
            for number, (prefix, part) in enumerate(zip(prefixes, parts))
        ]
        assert self.same_as_whole(tmp_path, *(files[::-1] if backwards else files))

    @pytest.mark.parametrize(
        ("part", "message"),
        [
            (foreign.autoencoder, "missing: model2.cross_model.* The whole fusion layer is missing: give its file"),
            (foreign.fusion_layer, "missing: model1.blocks.0.* The whole encoder and decoder is missing: give its"),
        ],
    )
    def test_one_part_alone(self, tmp_path, part, message):
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(saved(tmp_path, part()), **self.HEADS)

    def test_a_part_that_comes_twice(self, tmp_path):
        files = saved(tmp_path, foreign.official(), "a.pth"), saved(tmp_path, foreign.fusion_layer(), "b.pth")
        with pytest.raises(
            ValueError, match=r"a.pth and .*b.pth hold tensors twice: model2.cross_model.in_proj_bias, "
        ):
            convert_checkpoint(*files, **self.HEADS)

    def test_parts_of_different_models(self, tmp_path):
        files = [
            saved(tmp_path, foreign.autoencoder(), "a.pth"),
            saved(tmp_path, foreign.fusion_layer(width=32, side=4), "b.pth"),
        ]
        with pytest.raises(ValueError, match=r"model2.pos_embed is \(1, 16, 32\) instead of \(1, 25, 48\), a 5x5 grid"):
            convert_checkpoint(*files, **self.HEADS)

    def test_missing_and_left_over_tensors_are_listed(self, tmp_path):
        tensors = foreign.official()
        for name in ("model1.blocks.1.attn.qkv.bias", "model2.ln.weight", "model1.pos_embed"):
            del tensors[name]
        tensors |= {"model1.mask_token": torch.zeros(1), "model3.weight": torch.zeros(1)}
        with pytest.raises(ValueError) as error:
            convert_checkpoint(saved(tmp_path, tensors), **self.HEADS)
        assert "missing: model1.blocks.1.attn.qkv.bias, model1.pos_embed, model2.ln.weight; " in str(error.value)
        assert "left over: model1.mask_token, model3.weight. Is it a checkpoint of MaeFuse" in str(error.value)

    def test_a_block_that_is_missing_in_the_middle(self, tmp_path):
        tensors = {k: tensor for k, tensor in foreign.official().items() if not k.startswith("model1.blocks.1.")}
        with pytest.raises(
            ValueError, match=r"missing: model1.blocks.1.attn.proj.bias, .*model1.blocks.1.norm2.weight\."
        ):
            convert_checkpoint(saved(tmp_path, tensors), **self.HEADS)

    def test_sizes_that_do_not_fit_are_listed(self, tmp_path):
        tensors = foreign.official() | {"model1.norm.bias": torch.zeros(7), "model2.fc2.weight": torch.zeros(48, 9)}
        with pytest.raises(ValueError) as error:
            convert_checkpoint(saved(tmp_path, tensors), **self.HEADS)
        assert "model1.norm.bias (7,) instead of (48,), model2.fc2.weight (48, 9) instead of (48, 96)" in str(
            error.value
        )

    @pytest.mark.parametrize(
        ("name", "tensor", "message"),
        [
            ("model1.pos_embed", torch.zeros(1, 25, 48), "model1.pos_embed is not the fixed sin-cos of a 5x5 grid"),
            ("model2.pos_embed", foreign.sin_cos(5, 48).roll(1, 1), "model2.pos_embed is not the fixed sin-cos"),
            ("model1.pos_embed", torch.zeros(1, 24, 48), "model1.pos_embed has 24 positions .* no square grid"),
            ("model1.decoder_pos_embed", foreign.sin_cos(4, 24), r"\(1, 16, 24\) instead of \(1, 25, 24\)"),
            ("model1.patch_embed.proj.weight", torch.zeros(48, 3, 8, 4), "patches of 8x4 pixels; only square"),
            ("model1.patch_embed.proj.weight", torch.zeros(48), r"has the shape \(48,\); 4 dimensions are needed"),
        ],
    )
    def test_what_the_model_could_not_do(self, tmp_path, name, tensor, message):
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(saved(tmp_path, foreign.official() | {name: tensor}), **self.HEADS)

    def test_a_plain_masked_autoencoder_is_sent_to_its_place(self, tmp_path):
        with pytest.raises(ValueError, match=r"left over: .*cls_token.* maefuse_hf.conversion.model_from_encoder"):
            convert_checkpoint(saved(tmp_path, foreign.autoencoder(cls_token=True)), **self.HEADS)

    def test_half_precision(self, tmp_path):
        tensors = {name: tensor.half() for name, tensor in foreign.official().items()}
        model = convert_checkpoint(saved(tmp_path, tensors), **self.HEADS)[0]
        assert model.dtype == torch.float32


class TestChoices:
    def test_native_images_keep_size_and_sharpness(self, official_tiny, pair):
        model, processor = convert_checkpoint(official_tiny, native=True, **HEADS)
        assert not (model.config.truncate_to_8_bit or processor.eight_bit or processor.resize_colour or processor.size)
        cropped = [image.crop((0, 0, 150, 90)) for image in pair]
        inputs = processor(*cropped, return_tensors="pt")
        assert inputs["infrared"].shape == (1, 1, 96, 160)
        with torch.inference_mode():
            outputs = model(**inputs)
        assert processor.post_process_image_fusion(outputs, inputs)[0].size == (150, 90)

    def test_native_equals_their_network_on_its_own_grid(self, tmp_path):
        tensors = foreign.official()
        model, _ = convert_checkpoint(saved(tmp_path, tensors), encoder_heads=6, decoder_heads=3, native=True)
        infrared, visible = torch.rand(2, 1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            fused = model(infrared, visible).fused
            channels = foreign.official_prediction(tensors, infrared, visible, 6, 3, 16) * foreign.STD + foreign.MEAN
        luminance = (channels * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=1, keepdim=True)
        assert torch.allclose(fused, luminance.clamp(0, 1), rtol=0, atol=1e-4)

    def test_token_attention_is_that_of_the_paper(self, tmp_path):
        tensors = foreign.official()
        model, _ = convert_checkpoint(
            saved(tmp_path, tensors), encoder_heads=6, decoder_heads=3, fusion_attention="global"
        )
        features = torch.randn(2, 2, 25, 48, generator=torch.Generator().manual_seed(0))
        infrared, visible = features + tensors["model2.pos_embed"]
        attention = torch.nn.MultiheadAttention(48, 16, batch_first=True)
        attention.load_state_dict({k[19:]: tensors[k] for k in tensors if k.startswith("model2.cross_model.")})
        expected = attention(infrared, visible, visible)[0] + attention(visible, infrared, infrared)[0]
        assert torch.allclose(model.compare(*features, (5, 5))[0], expected, atol=1e-5)
