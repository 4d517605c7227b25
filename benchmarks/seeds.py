"""One seed, split by purpose: the same number gives the same draw only for the same purpose."""

import hashlib


def seed_for(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose of one cell.

    Args:
        seed: The cell's seed.
        purpose: ``init``, ``batches``, ``sampler``, ``view1`` ... Samplers that share a seed thus
            share initial weights and batch order.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
