from __future__ import annotations

import torch

from seurat_tracks.banded import eliminate, solve_blocks


def system(n: int, b: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positive definite block-tridiagonal equations of three systems."""
    draw = torch.Generator().manual_seed(0)
    root = torch.randn(3, n, b, b, generator=draw, dtype=torch.float64)
    matrix = root @ root.mT + 4 * b * torch.eye(b, dtype=torch.float64)
    coupling = torch.randn(3, n, b, b, generator=draw, dtype=torch.float64)
    right = torch.randn(3, n, b, 2, generator=draw, dtype=torch.float64)
    return matrix, coupling, right


def dense(matrix: torch.Tensor, coupling: torch.Tensor) -> torch.Tensor:
    """Write the blocks into whole matrices."""
    n, b = matrix.shape[1:3]
    full = matrix.new_zeros(len(matrix), n * b, n * b)
    for k in range(n):
        here, after = slice(k * b, k * b + b), slice(k * b + b, k * b + 2 * b)
        full[:, here, here] = matrix[:, k]
        if k + 1 < n:
            full[:, here, after] = coupling[:, k]
            full[:, after, here] = coupling[:, k].mT
    return full


def test_solution_and_variance_are_those_of_the_dense_matrix() -> None:
    for n in (1, 2, 5):
        matrix, coupling, right = system(n, 4)
        full = dense(matrix, coupling)
        found, variance = solve_blocks(matrix, coupling, right)
        expected = torch.linalg.solve(full, right.flatten(1, 2))
        torch.testing.assert_close(found.flatten(1, 2), expected)
        diagonal = torch.linalg.inv(full).diagonal(dim1=1, dim2=2)
        torch.testing.assert_close(variance.flatten(1), diagonal)


def test_an_eliminated_block_leaves_the_rest_of_the_solution_as_it_was() -> None:
    matrix, coupling, right = system(3, 4)
    whole, variance = solve_blocks(matrix, coupling, right)
    _, more, push = eliminate(matrix[:, 0], coupling[:, 0], right[:, 0])
    matrix, right = matrix[:, 1:].clone(), right[:, 1:].clone()
    matrix[:, 0] += more
    right[:, 0] += push
    rest, spread = solve_blocks(matrix, coupling[:, 1:], right)
    torch.testing.assert_close(rest, whole[:, 1:])
    torch.testing.assert_close(spread, variance[:, 1:])
