"""How busy and how fast the machine is, noted beside times that would mean little without it."""

import os
import time

SIZE = 512
REPEATS = 8


def measure_machine() -> dict[str, float]:
    """Load and speed right now; takes some hundredths of a second.

    Returns:
        "load": processes that want a core, mean over the last minute. "cores": how many there are.
        "matmul GFLOP/s": rate of float32 matrix products by NumPy, on as many cores as it takes;
        the best of a few, since the question is what the machine can do.
    """
    import numpy as np

    load = os.getloadavg()[0]
    matrix = np.full((SIZE, SIZE), 0.5, dtype=np.float32)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    rate = 2 * SIZE**3 / min(seconds) / 1e9
    cores = float(os.cpu_count() or 1)
    return {"load": round(load, 2), "cores": cores, "matmul GFLOP/s": round(rate, 1)}
