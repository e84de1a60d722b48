"""Remember what a network made of an image, so that it is worked out once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import cast

import torch


class FeatureMemo(torch.nn.Module):
    """Stands in for a network that treats every image of a batch alone.

    Official code works out the features of a frame anew for every set of points and
    for each direction. Put in place of its encoder, this keeps the last ones.

    Parameters
    ----------
    network
        Tensor (image, channel, y, x) to tensor (image, ...).
    capacity
        Images kept.
    together
        Most images in one call of the network.
    """

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        capacity: int,
        together: int = 16,
    ) -> None:
        super().__init__()
        # In a tuple, so that its weights do not appear under another name.
        self._network = (network,)
        self.capacity = capacity
        self._together = together
        self._held: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self.computed = 0  # how many images the network has seen

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of each image, from memory where they are there."""
        keys = [_digest(image) for image in images.detach().cpu()]
        new = list(dict.fromkeys(k for k in keys if k not in self._held))
        place = {key: i for i, key in enumerate(keys)}
        answer = {key: self._held[key] for key in keys if key in self._held}
        for a in range(0, len(new), self._together):
            some = new[a : a + self._together]
            made = self._network[0](images[[place[k] for k in some]])
            self.computed += len(some)
            answer.update(zip(some, made.unbind(0), strict=True))
        self._held.update(answer)
        for key in keys:
            self._held.move_to_end(key)
        while len(self._held) > self.capacity:
            self._held.popitem(last=False)
        return torch.stack([answer[key] for key in keys])

    def forget(self) -> None:
        """Drop all features."""
        self._held.clear()


def _digest(image: torch.Tensor) -> bytes:
    array = image.contiguous().numpy()
    return hashlib.blake2b(cast(bytes, array.data), digest_size=16).digest()
