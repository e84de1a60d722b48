"""Block-tridiagonal least squares for many curves at once. Batched torch, float64.

``N`` systems, ``n`` blocks of ``b`` unknowns, ``R`` right-hand sides. Only neighbouring
blocks are coupled, so the cost is linear in ``n``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Block:
    """A block whose influence on the next one has been worked out.

    Attributes
    ----------
    inverse : Tensor (N, b, b)
        Inverse of the block's matrix, given everything before it.
    mean : Tensor (N, b, R)
        Solution, were there nothing after it.
    gain : Tensor (N, b, b)
        How far a change of the next block changes this one, with the sign turned.
    """

    inverse: Tensor
    mean: Tensor
    gain: Tensor


def eliminate(
    matrix: Tensor, coupling: Tensor, right: Tensor
) -> tuple[Block, Tensor, Tensor]:
    """Eliminate a block from the equations of the next one.

    Parameters
    ----------
    matrix : Tensor (N, b, b)
        The block's own, positive definite, with all that came before in it.
    coupling : Tensor (N, b, b)
        Entries between the block (rows) and the next (columns).
    right : Tensor (N, b, R)

    Returns
    -------
    block : Block
    matrix, right : Tensor (N, b, b), Tensor (N, b, R)
        What is to be added to those of the next block.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    gain, mean = inverse @ coupling, inverse @ right
    across = coupling.transpose(1, 2)
    return Block(inverse, mean, gain), -(across @ gain), -(across @ mean)


def solve_blocks(
    matrix: Tensor, coupling: Tensor, right: Tensor, *, spread: bool = True
) -> tuple[Tensor, Tensor]:
    """Solve block-tridiagonal equations, with the diagonal of the inverse.

    Parameters
    ----------
    matrix : Tensor (N, n, b, b)
        Diagonal blocks, symmetric.
    coupling : Tensor (N, n, b, b)
        Blocks right of the diagonal; the last is not used.
    right : Tensor (N, n, b, R)
    spread
        Whether the variance is wanted, which takes a third of the time.

    Returns
    -------
    solution : Tensor (N, n, b, R)
    variance : Tensor (N, n, b)
        Diagonal of the inverse of the whole matrix; 0 if it is not wanted.
    """
    n = matrix.shape[1]
    blocks: list[Block] = []
    more: Tensor | float = 0.0
    push: Tensor | float = 0.0
    for k in range(n):
        block, more, push = eliminate(
            matrix[:, k] + more, coupling[:, k], right[:, k] + push
        )
        blocks.append(block)
    solution = torch.empty_like(right)
    variance = torch.zeros_like(right[..., 0])
    solution[:, -1] = blocks[-1].mean
    covariance = blocks[-1].inverse
    variance[:, -1] = covariance.diagonal(dim1=1, dim2=2)
    for k in range(n - 2, -1, -1):
        block = blocks[k]
        solution[:, k] = block.mean - block.gain @ solution[:, k + 1]
        if not spread:
            continue
        covariance = block.inverse + block.gain @ covariance @ block.gain.mT
        variance[:, k] = covariance.diagonal(dim1=1, dim2=2)
    return solution, variance
