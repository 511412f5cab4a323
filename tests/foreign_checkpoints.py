"""Small random checkpoints in the layouts of others, and what the authors' network does with one, in plain torch."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, gelu, layer_norm, linear

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def sin_cos(side: int, width: int, cls_token: bool = False) -> Tensor:
    """Positions as MAE's own code makes them: half the channels for the column, half for the row, sines first."""
    frequencies = 1 / 10000 ** (np.arange(width // 4) / (width / 4))
    rows, columns = (axis.reshape(-1, 1) * frequencies for axis in np.mgrid[:side, :side])
    positions = np.concatenate([f(axis) for axis in (columns, rows) for f in (np.sin, np.cos)], axis=1)
    return torch.tensor(np.pad(positions, ((int(cls_token), 0), (0, 0)))[None], dtype=torch.float32)


def random_layers(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """A weight of each shape, as large as keeps activations near one, and its bias."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        joint = "_" if name.endswith("in_proj") else "."
        tensors[f"{name}{joint}weight"] = 1 + 0.1 * noise if len(shape) == 1 else noise / noise[0].numel() ** 0.5
        tensors[f"{name}{joint}bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    return tensors


def block_shapes(prefix: str, width: int, mlp: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.norm1": (width,),
        f"{prefix}.attn.qkv": (3 * width, width),
        f"{prefix}.attn.proj": (width, width),
        f"{prefix}.norm2": (width,),
        f"{prefix}.mlp.fc1": (mlp, width),
        f"{prefix}.mlp.fc2": (width, mlp),
    }


def autoencoder(
    width: int = 48,
    depth: int = 3,
    decoder_width: int = 24,
    decoder_depth: int = 1,
    patch: int = 8,
    side: int = 5,
    mlp_ratio: int = 3,
    cls_token: bool = False,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Encoder and decoder as `model1` of the authors or, with `cls_token`, as `mae_visualize_vit_*.pth`."""
    shapes: dict[str, tuple[int, ...]] = {"patch_embed.proj": (width, 3, patch, patch)}
    for number in range(depth):
        shapes |= block_shapes(f"blocks.{number}", width, mlp_ratio * width)
    shapes |= {"norm": (width,), "decoder_embed": (decoder_width, width)}
    for number in range(decoder_depth):
        shapes |= block_shapes(f"decoder_blocks.{number}", decoder_width, mlp_ratio * decoder_width)
    shapes |= {"decoder_norm": (decoder_width,), "decoder_pred": (3 * patch**2, decoder_width)}
    positions = {
        "pos_embed": sin_cos(side, width, cls_token),
        "decoder_pos_embed": sin_cos(side, decoder_width, cls_token),
    }
    tokens = {"cls_token": torch.randn(1, 1, width), "mask_token": torch.randn(1, 1, decoder_width)}
    return {**positions, **(tokens if cls_token else {}), **random_layers(shapes, seed)}


def fusion_layer(width: int = 48, side: int = 5, mlp_ratio: int = 2) -> dict[str, Tensor]:
    """`model2` of the authors."""
    shapes: dict[str, tuple[int, ...]] = {}
    for attention in ("cross_model", "merge_model"):
        shapes |= {f"{attention}.in_proj": (3 * width, width), f"{attention}.out_proj": (width, width)}
    shapes |= {"fc1": (mlp_ratio * width, width), "fc2": (width, mlp_ratio * width), "ln": (width,)}
    return {"pos_embed": sin_cos(side, width), **random_layers(shapes, seed=1)}


def official(**sizes) -> dict[str, Tensor]:
    """A whole checkpoint of the authors, `content["model"]` of their file."""
    shared = {name: sizes[name] for name in ("width", "side") if name in sizes}
    return {
        **{f"model1.{name}": tensor for name, tensor in autoencoder(**sizes).items()},
        **{f"model2.{name}": tensor for name, tensor in fusion_layer(**shared).items()},
    }


def layer(tensors: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    return linear(values, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def norm(tensors: dict[str, Tensor], name: str, values: Tensor, eps: float = 1e-6) -> Tensor:
    return layer_norm(values, values.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], eps)


def blocks(tensors: dict[str, Tensor], prefix: str, tokens: Tensor, heads: int) -> Tensor:
    number = 0
    while f"{prefix}.{number}.norm1.weight" in tensors:
        name = f"{prefix}.{number}"
        qkv = layer(tensors, f"{name}.attn.qkv", norm(tensors, f"{name}.norm1", tokens))
        query, key, value = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        tokens = tokens + layer(tensors, f"{name}.attn.proj", (weights @ value).transpose(1, 2).flatten(2))
        hidden = gelu(layer(tensors, f"{name}.mlp.fc1", norm(tensors, f"{name}.norm2", tokens)))
        tokens = tokens + layer(tensors, f"{name}.mlp.fc2", hidden)
        number += 1
    return tokens


def encoder_output(tensors: dict[str, Tensor], images: Tensor, heads: int) -> Tensor:
    """`(B, 1, H, W)` luminance on the checkpoint's own grid to `(B, tokens, width)`, the class token first if any."""
    patch = tensors["patch_embed.proj.weight"].shape[-1]
    projection = tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"]
    tokens = conv2d((images - MEAN) / STD, *projection, stride=patch).flatten(2).transpose(1, 2)
    positions = tensors["pos_embed"]
    if "cls_token" in tensors:
        cls_token = (tensors["cls_token"] + positions[:, :1]).expand(len(tokens), -1, -1)
        tokens = torch.cat([cls_token, tokens + positions[:, 1:]], dim=1)
    else:
        tokens = tokens + positions
    return norm(tensors, "norm", blocks(tensors, "blocks", tokens, heads))


def attend_to_itself(tensors: dict[str, Tensor], name: str, query: Tensor, context: Tensor, heads: int) -> Tensor:
    """What their attention is for one image: a softmax over one key, so that values pass whatever the query."""
    attention = torch.nn.MultiheadAttention(context.shape[-1], heads)
    attention.load_state_dict({key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(name)})
    return attention(query, context, context)[0]


def official_prediction(
    tensors: dict[str, Tensor], infrared: Tensor, visible: Tensor, heads: int, decoder_heads: int, fusion_heads: int
) -> Tensor:
    """`(1, 1, H, W)` luminance of one pair on the checkpoint's own grid to `(1, 3, H, W)`, still normalised."""
    model1, model2 = (
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in ("model1.", "model2.")
    )
    phi_i, phi_v = (encoder_output(model1, image, heads) + model2["pos_embed"] for image in (infrared, visible))
    phi_d = attend_to_itself(model2, "cross_model", phi_i, phi_v, fusion_heads)
    phi_d = phi_d + attend_to_itself(model2, "cross_model", phi_v, phi_i, fusion_heads)
    merged = attend_to_itself(model2, "merge_model", phi_d, phi_v, fusion_heads)
    merged = merged + attend_to_itself(model2, "merge_model", phi_d, phi_i, fusion_heads)
    merged = merged + layer(model2, "fc2", gelu(layer(model2, "fc1", merged)))
    tokens = layer(model1, "decoder_embed", norm(model2, "ln", merged, eps=1e-5)) + model1["decoder_pos_embed"]
    tokens = norm(model1, "decoder_norm", blocks(model1, "decoder_blocks", tokens, decoder_heads))
    return patches_to_image(layer(model1, "decoder_pred", tokens))


def patches_to_image(patches: Tensor) -> Tensor:
    """`(B, side ** 2, patch ** 2 * 3)` to `(B, 3, H, W)`."""
    side, patch = round(patches.shape[1] ** 0.5), round((patches.shape[2] / 3) ** 0.5)
    return (
        patches.unflatten(1, (side, side))
        .unflatten(-1, (patch, patch, 3))
        .permute(0, 5, 1, 3, 2, 4)
        .reshape(len(patches), 3, side * patch, side * patch)
    )
