"""Bare matrix products: what a step that needs them can at best be held against."""

from collections.abc import Iterable

import torch
from torch import Generator, Tensor

from benchmarks.timing import Work

Shape = tuple[int, int, int]


def products(shapes: Iterable[Shape]) -> Work:
    """A piece of work: one float32 product (M, K) x (K, N) for each (M, K, N), nothing else.

    Operands and results are allocated once, so that this is the most a program can hope for that
    does these products one after another.
    """
    shapes = list(shapes)
    prepared = {shape: _operands(shape) for shape in set(shapes)}

    def multiply() -> None:
        for shape in shapes:
            first, second, result = prepared[shape]
            torch.mm(first, second, out=result)

    return multiply


def count_flops(shapes: Iterable[Shape]) -> int:
    """Multiplications and additions of such products."""
    return sum(2 * rows * inner * columns for rows, inner, columns in shapes)


def _operands(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    rows, inner, columns = shape
    generator = Generator().manual_seed(0)
    first = torch.randn(rows, inner, generator=generator)
    second = torch.randn(inner, columns, generator=generator)
    return first, second, torch.empty(rows, columns)
