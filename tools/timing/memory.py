"""The most memory that this process has held. Only the standard library, so that it costs none."""

import resource
import sys
from pathlib import Path


def peak() -> float:
    """MiB, of this program alone where the system says that.

    What `resource.getrusage` says begins with what the parent held when it started this process.
    """
    try:
        text = Path("/proc/self/status").read_text("ascii")
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
