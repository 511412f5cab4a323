import pytest
import torch
from conftest import small_config

from maefuse_hf.merging_block import MergingBlock
from training.initialization import zero

GRID = (2, 3)


@pytest.fixture
def block():
    torch.manual_seed(0)
    return MergingBlock(32, 4, 48, 1e-5, small_config()).eval()


@pytest.fixture
def tokens():
    """Merged, infrared and visible tokens of two pairs."""
    return torch.randn(3, 2, 6, 32, generator=torch.Generator().manual_seed(1))


def test_it_is_attention_then_the_mlp_each_on_top_of_what_came(block, tokens):
    merged, infrared, visible = tokens
    heads = []
    for queries, keys, values in zip(
        block.attention.q_proj(block.attention_norm(merged)).split(8, -1),
        block.attention.k_proj(torch.cat([infrared, visible], 1)).split(8, -1),
        block.attention.v_proj(torch.cat([infrared, visible], 1)).split(8, -1),
    ):
        # one softmax over the twelve tokens of both modalities
        heads.append((queries @ keys.mT / 8**0.5).softmax(-1) @ values)
    attended = merged + block.attention.out_proj(torch.cat(heads, -1))
    first, second = block.mlp[0], block.mlp[2]
    of_merged, of_infrared, of_visible = first.weight.split(32, dim=1)
    inner = block.mlp_norm(attended) @ of_merged.T + infrared @ of_infrared.T + visible @ of_visible.T + first.bias
    expected = attended + second(torch.nn.functional.gelu(inner))
    assert torch.allclose(block(*tokens, GRID), expected, atol=1e-5)


@pytest.mark.parametrize("source", [1, 2])
def test_a_place_sees_all_tokens_of_both_modalities_of_its_own_pair(block, tokens, source):
    tokens = tokens.clone().requires_grad_()
    block(*tokens, GRID)[0, 0].sum().backward()
    strength = tokens.grad[source].abs().sum(-1)
    assert (strength[0] > 0).all()
    assert (strength[1] == 0).all()


def test_of_the_merged_tokens_it_sees_its_own_alone(block, tokens):
    tokens = tokens.clone().requires_grad_()
    block(*tokens, GRID)[0, 0].sum().backward()
    seen = tokens.grad[0, 0].abs().sum(-1) > 0
    assert seen.tolist() == [True, False, False, False, False, False]


def test_the_modalities_are_told_apart(block, tokens):
    merged, infrared, visible = tokens
    assert not torch.allclose(block(merged, visible, infrared, GRID), block(*tokens, GRID), atol=1e-3)


def test_a_pair_alone_and_in_a_batch(block, tokens):
    alone = torch.cat([block(*tokens[:, k : k + 1], GRID) for k in range(2)])
    assert torch.allclose(block(*tokens, GRID), alone, atol=1e-6)


def test_with_zero_outputs_it_gives_back_what_came(block, tokens):
    zero(block.attention.out_proj)
    zero(block.mlp[2])
    assert torch.equal(block(*tokens, GRID), tokens[0])
