# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""What a token of the fusion modules attends to: every token, a window around its place, or its place alone.

All three share one signature: `forward(queries, *contexts, grid)` with `queries` and every context
`(B, rows * columns, hidden)` in raster order. The tokens of several contexts share a joint softmax. The result is
`(B, rows * columns, hidden)` and the attention weights, or `None` where the kernel does not give them.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.vit_mae.modeling_vit_mae import eager_attention_forward


class GlobalAttention(nn.Module):
    """Multi-head attention over all tokens (paper, section 3.1): `softmax(Q K^T / sqrt(d)) V`.

    The kernel is the one that `attn_implementation` of the configuration names. Weights are
    `(B, heads, rows * columns, contexts * rows * columns)`, from the eager kernel only.
    """

    is_causal = False

    def __init__(self, hidden_size: int, num_heads: int, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.head_dim = hidden_size // num_heads
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, queries: Tensor, *contexts: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        tokens = torch.cat(contexts, dim=1)
        query, key, value = (
            projected.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projected in (self.q_proj(queries), self.k_proj(tokens), self.v_proj(tokens))
        )
        kernel = self.config._attn_implementation
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(kernel, eager_attention_forward)
        attended, weights = attend(self, query, key, value, None, scaling=self.head_dim**-0.5)
        return self.out_proj(attended.flatten(2)), weights


class LocalAttention(nn.Module):
    """Multi-head attention over a square window around the query's own place, with a learned bias for each head and
    offset: `softmax(Q K^T / sqrt(d) + b) V`; places outside the image take no part.

    Weights are `(B, heads, rows * columns, contexts * window ** 2)`, offsets in raster order.
    """

    def __init__(self, hidden_size: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window = window
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.out_proj = nn.Linear(hidden_size, hidden_size)
        self.offset_bias = nn.Parameter(torch.zeros(num_heads, window**2))

    def forward(self, queries: Tensor, *contexts: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        query = self.split_heads(self.q_proj(queries), grid)
        query = query * query.shape[-1] ** -0.5
        inside = self.neighbours(query.new_ones(1, *grid, 1, 1))
        scores, values = [], []
        for context in contexts:
            keys = self.neighbours(self.split_heads(self.k_proj(context), grid))
            for key, within, bias in zip(keys, inside, self.offset_bias.unbind(-1)):
                score = (query * key).sum(-1) + bias
                scores.append(score.masked_fill(within[..., 0] == 0, float("-inf")))
            values += self.neighbours(self.split_heads(self.v_proj(context), grid))
        weights = torch.stack(scores, dim=-1).softmax(dim=-1)
        attended = torch.zeros_like(query)
        for weight, value in zip(weights.unbind(-1), values):
            attended = attended + weight[..., None] * value
        return self.out_proj(attended.flatten(3).flatten(1, 2)), weights.flatten(1, 2).transpose(1, 2)

    def split_heads(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """`(B, rows * columns, hidden)` to `(B, rows, columns, heads, head_dim)`."""
        return tokens.unflatten(1, grid).unflatten(-1, (self.num_heads, -1))

    def neighbours(self, tokens: Tensor) -> list[Tensor]:
        """For each offset of the window the grid `(B, rows, columns, heads, head_dim)` moved by it, zero outside."""
        rows, columns, reach = tokens.shape[1], tokens.shape[2], self.window // 2
        padded = nn.functional.pad(tokens, (0, 0, 0, 0, reach, reach, reach, reach))
        return [
            padded[:, top : top + rows, left : left + columns]
            for top in range(self.window)
            for left in range(self.window)
        ]


class PointwiseAttention(nn.Module):
    """Attention of a token to its own place alone, as the authors' published checkpoint does: one key, so the softmax
    is one whatever the query, and `out(value(context))` is left. Several contexts are averaged. No weights.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, queries: Tensor, *contexts: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        return self.out_proj(self.v_proj(torch.stack(contexts).mean(dim=0))), None
