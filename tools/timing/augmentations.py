"""Cost of augmenting a batch, as a ratio to the encoder's forward pass.

    python -m tools.timing.augmentations

Prints the median of several runs and their quartiles; target: every ratio under 0.05 on the CPU.
An adversarial view needs another pass, which is counted as passes and not timed here.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from nsbench.benchmarks.augmentations import TokenView, augmentations, bound
from nsbench.benchmarks.encoders import Encoder, encoders

TARGET = 0.05
WORDS = ("the", "woman", "carefully", "cleaned", "two", "boats", "near", "station", "uncommonly")


@dataclass(frozen=True)
class Timed:
    """Seconds of several runs."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the runs, in seconds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile, in seconds."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high


def timed(name: str, act: Callable[[], object], runs: int, device: torch.device) -> Timed:
    """Time an act, warmed up twice, the device synchronised around each run.

    Args:
        name: What it is called.
        act: What is timed.
        runs: At least 2.
        device: Where it runs.
    """

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    seconds = []
    for run in range(runs + 2):
        wait()
        start = time.perf_counter()
        act()
        wait()
        if run >= 2:
            seconds.append(time.perf_counter() - start)
    return Timed(name, tuple(seconds))


def full_view(encoder: Encoder, batch: int, length: int) -> TokenView:
    """A batch of texts that all fill their rows, of words that some augmentations act on."""
    words = encoder.tokenizer(" ".join(WORDS), add_special_tokens=False)["input_ids"]
    device = next(encoder.parameters()).device
    head, tail = encoder.specials
    wrapped = encoder.tokenizer("a", add_special_tokens=encoder.special_tokens)["input_ids"]
    inner = [words[i % len(words)] for i in range(length - head - tail)]
    row = [*wrapped[:head], *inner, *wrapped[len(wrapped) - tail :]]
    ids = torch.tensor([row] * batch, device=device)
    return encoder.plain_view(ids, torch.ones_like(ids, dtype=torch.bool))


def measure(encoder: Encoder, batch: int, length: int, runs: int) -> tuple[Timed, list[Timed]]:
    """The forward pass, and every augmentation that acts on this encoder.

    Args:
        encoder: On its device.
        batch: Texts.
        length: Tokens of each.
        runs: Runs of each.
    """
    device = next(encoder.parameters()).device
    view = full_view(encoder, batch, length)
    with torch.inference_mode():
        forward = timed("forward", lambda: encoder(view), max(2, runs // 5), device)
    generator = torch.Generator(device).manual_seed(0)
    out = []
    for entry in augmentations:
        if (
            entry.attribute("needs_positions", False) or entry.attribute("needs_order", False)
        ) and not encoder.has_positions:
            continue
        augment = bound(augmentations.make(entry.name), encoder)

        def act(augment: Callable[..., TokenView] = augment) -> TokenView:
            return augment(view, generator)

        out.append(timed(entry.name, act, runs, device))
    return forward, out


def table(forward: Timed, found: Sequence[Timed]) -> str:
    """The measurements as text, one augmentation a line, dearest first."""
    lines = [f"{'augmentation':20} {'ms':>9} {'ratio':>8}  quartiles of the ratio"]
    for one in sorted(found, key=lambda t: -t.median):
        low, high = (q / forward.median for q in one.quartiles)
        ratio = one.median / forward.median
        mark = "" if ratio < TARGET else f"  over {TARGET}"
        lines.append(
            f"{one.name:20} {1e3 * one.median:9.3f} {ratio:8.4f}  {low:.4f} to {high:.4f}{mark}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if a ratio is over the target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    spec = encoders.make("transformer", source=given.encoder)
    encoder = spec.build([], 0).to(given.device)
    forward, found = measure(encoder, given.batch, given.length, given.runs)
    sys.stdout.write(
        f"{given.encoder}, {given.batch} x {given.length} tokens, {given.device}, "
        f"{given.threads} thread(s), torch {torch.__version__}, {platform.machine()}\n"
        f"forward pass: {1e3 * forward.median:.1f} ms (median of {len(forward.seconds)})\n"
        f"{table(forward, found)}\n"
    )
    return int(any(t.median / forward.median >= TARGET for t in found))


if __name__ == "__main__":
    sys.exit(main())
