"""Original MAE files, as `mae_pretrain_vit_*.pth` (encoder) and `mae_visualize_vit_*.pth` (with decoder) are."""

import foreign_checkpoints as foreign
import pytest
import torch

from maefuse_hf.conversion.encoder import model_from_encoder
from maefuse_hf.conversion.mae import read_mae_encoder


def whole(**sizes):
    return foreign.autoencoder(cls_token=True, **sizes)


def encoder_alone(**sizes):
    return {k: tensor for k, tensor in whole(**sizes).items() if not k.startswith(("decoder_", "mask_token"))}


def saved(folder, tensors, **beside):
    path = folder / "mae_pretrain.pth"
    torch.save({"model": tensors, **beside}, path)
    return path


@pytest.mark.parametrize("layout", [whole, encoder_alone])
@pytest.mark.parametrize(
    ("sizes", "heads"), [({}, 6), ({"width": 32, "depth": 1, "patch": 16, "side": 4, "mlp_ratio": 4}, 2)]
)
def test_features_are_those_of_the_original(tmp_path, layout, sizes, heads):
    tensors = layout(**sizes)
    model = model_from_encoder(saved(tmp_path, tensors), encoder_heads=heads, decoder_hidden_size=32)
    encoder = model.config.encoder_config
    assert encoder.image_size == sizes.get("patch", 8) * sizes.get("side", 5)
    assert model.config.use_cls_token and not any(p.requires_grad for p in model.encoder.parameters())
    assert str(tmp_path) not in model.config.to_json_string(use_diff=False)
    images = torch.rand(2, 1, encoder.image_size, encoder.image_size)
    expected = foreign.encoder_output(tensors, images, heads)[:, 1:]
    assert torch.allclose(model.eval().encode(images), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (1024, 16), (1280, 16)])
def test_published_widths_tell_their_heads(tmp_path, width, heads):
    tensors = encoder_alone(width=width, depth=1, patch=2, side=2, mlp_ratio=1)
    assert read_mae_encoder(saved(tmp_path, tensors)).config.num_attention_heads == heads


def test_other_widths_need_them(tmp_path):
    with pytest.raises(ValueError, match=r"the encoder is 48 wide, .* Give it as encoder_heads"):
        read_mae_encoder(saved(tmp_path, whole()))


def test_checkpoints_of_a_pretraining_run(tmp_path):
    tensors = {f"module.{name}": tensor for name, tensor in whole().items()}
    path = saved(tmp_path, tensors, epoch=3, optimizer={"state": {}}, scaler={"scale": 1.0})
    assert torch.equal(read_mae_encoder(path, 6).layernorm.bias, tensors["module.norm.bias"])


@pytest.mark.parametrize("rename", ["norm", "fc_norm"])
def test_classifiers_are_refused_with_the_reason(tmp_path, rename):
    tensors = {k.replace("norm.", f"{rename}.") if k.startswith("norm.") else k: v for k, v in encoder_alone().items()}
    tensors["head.weight"] = torch.zeros(1000, 48)
    with pytest.raises(ValueError, match=r"was finetuned as a classifier: it holds .*head\.weight.* mae_pretrain_vit"):
        read_mae_encoder(saved(tmp_path, tensors), 6)


def test_what_is_missing_or_left_over_is_listed(tmp_path):
    tensors = encoder_alone() | {"rope.freqs": torch.zeros(1)}
    del tensors["blocks.2.norm1.bias"], tensors["cls_token"]
    with pytest.raises(ValueError, match=r"missing: blocks.2.norm1.bias, cls_token; left over: rope.freqs\."):
        read_mae_encoder(saved(tmp_path, tensors), 6)


def test_a_whole_maefuse_is_sent_to_its_place(tmp_path):
    with pytest.raises(ValueError, match=r"is a whole MaeFuse of the paper's authors.*`maefuse convert`"):
        read_mae_encoder(saved(tmp_path, foreign.official()), 6)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("pos_embed", torch.zeros(1, 25, 48), "has 24 positions of patches, which is no square grid"),
        ("norm.bias", torch.zeros(3), r"norm.bias \(3,\) instead of \(48,\)"),
    ],
)
def test_sizes_that_do_not_fit(tmp_path, name, tensor, message):
    with pytest.raises(ValueError, match=message):
        read_mae_encoder(saved(tmp_path, whole() | {name: tensor}), 6)


def test_learned_positions_are_kept(tmp_path):
    positions = torch.randn(1, 26, 48)
    encoder = read_mae_encoder(saved(tmp_path, whole() | {"pos_embed": positions}), 6)
    assert torch.equal(encoder.embeddings.position_embeddings, positions)
