"""Batches made elsewhere: a file names the rows of each.

Source: ours, for batches mined elsewhere, such as by the METIS pipeline of Thirukovalluru et al.
2025 (B3). https://arxiv.org/abs/2505.11293 A line a batch, numbers of rows from 0 in the order of
the data, with blanks between. The file is read again and again, in its order.
"""

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar

from nsbench.samplers import register
from nsbench.samplers._batched import Batched, leaves_batches


@register("given_batches")
class GivenBatches(Batched):
    """Contrast within the batches of a file.

    Args:
        file: Its path; every line as long as the matrix's batch size.
        then: Which negatives of a batch count: a sampler, ``name[parameter=value,...]``.
    """

    file: str = ""
    then: Annotated[str, leaves_batches] = "in_batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"file"})

    def fingerprint(self) -> str:
        """SHA-256 of the file.

        Raises:
            ValueError: If it is not there.
        """
        path = Path(self.file).expanduser()
        if not self.file or not path.is_file():
            raise ValueError(f"given_batches: file is {self.file!r}, and there is no such file")
        return hashlib.sha256(path.read_bytes()).hexdigest()
