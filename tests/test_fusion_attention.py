import pytest
import torch
from transformers import PreTrainedConfig

from maefuse_hf.fusion_attention import GlobalAttention, LocalAttention, PointwiseAttention
from training.initialization import prefer_own_place

GRID = (4, 5)
EAGER = PreTrainedConfig(attn_implementation="eager")


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return torch.randn(3, 2, GRID[0] * GRID[1], 8)


def call(attention, queries, *contexts):
    return attention(queries, *contexts, grid=GRID)


def test_global_attention_equals_torchs(tokens):
    attention = GlobalAttention(8, 2, EAGER)
    reference = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    reference.in_proj_weight.data = torch.cat([getattr(attention, f"{k}_proj").weight for k in "qkv"])
    reference.in_proj_bias.data = torch.cat([getattr(attention, f"{k}_proj").bias for k in "qkv"])
    reference.out_proj.load_state_dict(attention.out_proj.state_dict())
    expected, expected_weights = reference(tokens[0], tokens[1], tokens[1], average_attn_weights=False)
    result, weights = call(attention, tokens[0], tokens[1])
    assert torch.allclose(result, expected, atol=1e-6)
    assert torch.allclose(weights, expected_weights, atol=1e-6)


def test_a_window_over_the_whole_grid_is_global_attention(tokens):
    everything = GlobalAttention(8, 2, EAGER)
    local = LocalAttention(8, 2, window=9)
    local.load_state_dict(everything.state_dict() | {"offset_bias": torch.zeros(2, 81)})
    for contexts in ([tokens[1]], [tokens[1], tokens[2]]):
        expected, _ = call(everything, tokens[0], *contexts)
        result, weights = call(local, tokens[0], *contexts)
        assert torch.allclose(result, expected, atol=1e-5)
        assert weights.shape == (2, 2, 20, 81 * len(contexts))


def test_a_window_of_one_is_pointwise_attention(tokens):
    local = LocalAttention(8, 2, window=1)
    pointwise = PointwiseAttention(8)
    pointwise.v_proj.load_state_dict(local.v_proj.state_dict())
    pointwise.out_proj.load_state_dict(local.out_proj.state_dict())
    expected, weights = call(pointwise, tokens[0], tokens[1])
    assert weights is None
    assert torch.allclose(call(local, tokens[0], tokens[1])[0], expected, atol=1e-6)
    assert torch.allclose(expected, pointwise.out_proj(pointwise.v_proj(tokens[1])))


def test_a_window_reaches_exactly_its_neighbours(tokens):
    local = LocalAttention(8, 2, window=3)
    context = tokens[1].clone().requires_grad_()
    result, _ = call(local, tokens[0], context)
    row, column = 1, 0
    result[0, row * GRID[1] + column].sum().backward()
    reached = context.grad[0].abs().sum(-1).reshape(GRID).nonzero().tolist()
    assert reached == [[y, x] for y in (0, 1, 2) for x in (0, 1)]


def test_weights_sum_to_one_and_nothing_outside_is_attended(tokens):
    local = LocalAttention(8, 2, window=3)
    _, weights = call(local, tokens[0], tokens[1])
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 20), atol=1e-6)
    top_left = weights[:, :, 0].reshape(2, 2, 3, 3)
    assert (top_left[:, :, 0] == 0).all() and (top_left[:, :, :, 0] == 0).all()
    assert (top_left[:, :, 1:, 1:] > 0).all()


def test_a_strong_preference_looks_at_its_own_place(tokens):
    local = LocalAttention(8, 2, window=3)
    prefer_own_place(local, 100.0)
    _, weights = call(local, tokens[0], tokens[1])
    assert torch.allclose(weights[..., 4], torch.ones(2, 2, 20))


def test_contexts_share_a_joint_softmax(tokens):
    attention = GlobalAttention(8, 2, EAGER)
    _, weights = call(attention, tokens[0], tokens[1], tokens[2])
    assert weights.shape == (2, 2, 20, 40)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 20), atol=1e-6)
