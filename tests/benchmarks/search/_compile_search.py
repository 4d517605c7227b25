"""Compiles the fused search's kernels for a GPU that need not be there; prints what they take.

python _compile_search.py CAPABILITY DEPTH [NAME ...]
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from nsbench.benchmarks.search import kernel as kernels

TYPES = {
    "q": "*fp16",
    "x": "*fp16",
    "bound": "*fp32",
    "out": "*fp32",
    "words": "*i32",
    "counts": "*i32",
    "starts": "*i32",
    "row_out": "*i64",
    "column_out": "*i64",
}


def compiled(function, capability, constants, warps, stages):
    """Registers, bytes of spills and shared memory, and accumulators that were laid out anew."""
    names = function.arg_names
    types = {n: "constexpr" if n in constants else TYPES.get(n, "i32") for n in names}
    whole = [["tt.divisibility", 16]]
    aligned = {(i,): whole for i, n in enumerate(names) if types[n].startswith("*")}
    values = {(names.index(n),): v for n, v in constants.items()}
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
    made = triton.compile(
        ASTSource(function, types, values, aligned),
        target=GPUTarget("cuda", capability, 32),
        options=options,
    )
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        told = subprocess.run(
            [tools / "cuobjdump", "--dump-resource-usage", file.name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    used = dict(re.findall(r"\b(REG|STACK|LOCAL):(\d+)", told))
    tile = f"{constants.get('BM')}x{constants.get('BN')}x"
    anew = re.findall(rf"convert_layout [^\n]*tensor<{tile}f32", made.asm["ttgir"])
    return {
        "registers": int(used["REG"]),
        "spilled": int(used["STACK"]) + int(used["LOCAL"]),
        "shared": made.metadata.shared,
        "anew": len(anew),
        "wgmma": int("wgmma.mma_async" in made.asm["ptx"]),
    }


def main(capability: int, depth: int, *wanted: str) -> None:
    todo = {}
    for c in kernels.CONFIGS:
        cut = {"BM": c.rows, "BN": c.columns, "BK": c.depth, "BAND": 16, "D": depth}
        name = f"{c.rows}x{c.columns}x{c.depth} {c.warps} {c.stages}"
        how = (c.warps, c.stages)
        todo[f"scan {name}"] = (kernels.scan_kernel, capability, cut, *how)
        todo[f"maxima {name}"] = (kernels.maxima_kernel, capability, cut | {"GROUP": 128}, *how)
    read = {"BR": kernels._ROWS, "BW": kernels._WORDS}
    todo["count"] = (kernels.count_kernel, capability, read, 4, 3)
    todo["collect"] = (kernels.collect_kernel, capability, read, 4, 3)
    found = {name: compiled(*todo[name]) for name in wanted or todo}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
