"""Runs in turns, and what is counted of them."""

import pytest
import torch
from torch import nn

from benchmarks.timing import in_turns, matrix_product, medians, operations_of, operations_of_a_product


def test_runs_take_turns_and_the_first_rounds_do_not_count():
    clock = iter([0, 0, 1, 3, 10, 15, 20, 21, 30, 37])
    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = in_turns(runs, 2, warm_up=1, clock=lambda: next(clock))
    assert order == ["a", "b"] * 3
    assert seconds == {"a": [2, 1], "b": [5, 7]}
    assert medians(seconds) == {"a": 1.5, "b": 6}


def test_operations_of_a_product_are_what_pytorch_counts():
    assert operations_of(matrix_product(8)) == operations_of_a_product(8) == 1024


def test_operations_of_attention_are_counted_on_a_cpu():
    query = torch.rand(2, 3, 5, 4)
    # two products of 5 by 4 by 5, for each of 2 images and 3 heads
    attend = nn.functional.scaled_dot_product_attention
    assert operations_of(lambda: attend(query, query, query)) == 2 * 3 * 2 * (2 * 5 * 4 * 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_of_random_numbers(dtype):
    product = matrix_product(4, dtype=dtype)()
    assert product.shape == (4, 4) and product.dtype == dtype and product.unique().numel() > 4
