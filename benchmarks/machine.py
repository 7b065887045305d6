"""What figures depend on: processor, load, threads, versions and the speed of matrix products."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from benchmarks.products import count_flops, products
from benchmarks.timing import alternate

SHAPES = ((1024, 256, 256), (1024, 256, 1024), (1024, 1024, 256), (1024, 256, 2048))


def machine_facts() -> dict[str, str]:
    """Facts and their values, in words; the load is that of the minute before."""
    load = os.getloadavg()[0]
    pieces = {"products": products(SHAPES)}
    seconds = alternate(pieces, rounds=5, budget=10, least=0.3)["products"]
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    return {
        "Date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Load at the start": f"{load:.2f}",
        "Threads": f"{torch.get_num_threads()}, OMP_WAIT_POLICY {policy}",
        "Python, torch, DuckDB": ", ".join(
            [platform.python_version(), torch.__version__, version("duckdb")]
        ),
        "float32 products": f"{count_flops(SHAPES) / median(seconds) / 1e9:.0f} GFLOP/s",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
