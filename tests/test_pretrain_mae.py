import torch
from transformers import ViTMAEConfig

from maefuse_hf.position_embedding import sincos_position_embedding
from training.pretrain_mae import MaskedAutoencoder, read_out_psnr

CONFIG = ViTMAEConfig(
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    image_size=32,
    patch_size=8,
    num_channels=1,
    layer_norm_eps=1e-6,
    decoder_hidden_size=16,
    decoder_num_hidden_layers=1,
    decoder_num_attention_heads=2,
    decoder_intermediate_size=32,
)


def autoencoder() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(CONFIG, "sdpa")


def test_positions_are_not_left_at_zero():
    model = autoencoder()
    expected = sincos_position_embedding(4, 4, 32)
    assert torch.equal(model.mae.vit.embeddings.position_embeddings[0, 1:], expected)
    assert torch.equal(model.mae.decoder.decoder_pos_embed[0, 1:], sincos_position_embedding(4, 4, 16))


def test_the_masked_loss_is_transformers_own():
    model, images = autoencoder(), torch.randn(2, 1, 32, 32)
    noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(7))
    losses = model(images, images, 0.75, seed=7)
    assert torch.isclose(losses["masked"], model.mae(images, noise=noise).loss)


def test_the_read_out_is_compared_with_each_unmasked_tokens_own_pixels():
    model, images = autoencoder(), torch.randn(2, 1, 32, 32)
    noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(7))
    losses = model(images, images, 0.75, seed=7)
    tokens = model.read_out(model.mae.vit(images, noise=noise).last_hidden_state[:, 1:])
    kept = noise.argsort(dim=1)[:, :4]
    patches = images.unfold(2, 8, 8).unfold(3, 8, 8).reshape(2, 16, 64)
    errors = [(tokens[k, j] - patches[k, kept[k, j]]).square().mean() for k in range(2) for j in range(4)]
    assert torch.isclose(losses["read_out"], torch.stack(errors).mean())


def test_what_is_asked_for_is_the_undamaged_image():
    model, seen, clean = autoencoder(), *torch.randn(2, 2, 1, 32, 32)
    losses = model(seen, clean, 0.75, seed=7)
    noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(7))
    outputs = model.mae(seen, noise=noise)
    errors = (outputs.logits - model.mae.patchify(clean)).square().mean(dim=-1)
    assert torch.isclose(losses["masked"], errors[outputs.mask == 1].mean())
    tokens = model.read_out(model.mae.vit(seen, noise=noise).last_hidden_state[:, 1:])
    kept = noise.argsort(dim=1)[:, :4, None].expand(-1, -1, 64)
    own = model.mae.patchify(clean).gather(1, kept)
    assert torch.isclose(losses["read_out"], (tokens - own).square().mean())


def test_nothing_masked_leaves_the_read_out_alone():
    assert list(autoencoder()(*[torch.randn(1, 1, 32, 32)] * 2, 0.0, seed=0)) == ["read_out"]


def test_the_last_norm_keeps_no_affine_part():
    norm = autoencoder().mae.vit.layernorm
    assert not norm.weight.requires_grad and not norm.bias.requires_grad
    assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_read_out_psnr_of_a_constant_prediction():
    model = autoencoder()
    torch.nn.init.zeros_(model.read_out.weight)
    torch.nn.init.constant_(model.read_out.bias, 0.5)
    image = torch.zeros(1, 17, 24, dtype=torch.uint8).numpy()
    # 0.5 of the standard deviation above the mean is 0.6, so the error is 0.6 everywhere
    psnr = read_out_psnr(model, [image], mean=0.5, std=0.2)
    assert abs(psnr - -10 * torch.tensor(0.36).log10()) < 1e-4
