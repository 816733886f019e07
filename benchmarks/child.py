"""One measurement in a process of its own: `child.py MODE FRAMEWORK VARIANT WORKLOAD BUDGET` prints a line of JSON.

Modes: `import` times the import of a package; `usable` the import and a first tensor, so that work which the import puts off is counted;
`steady` the median of steps after warming up; `first` all from before the imports to the
end of the first step; `once` all steps of a workload that never repeats, compilation included, imports and building not.

Beside the time there are the most memory that the process ever had resident (`peak_mb`); in the mode `steady` also what it had before the
first step (`built_mb`), and how many plans were compiled after the second step (`late_plans`), where the framework can tell.
"""

import time

START = time.perf_counter()

import importlib
import json
import os
import resource
import statistics
import sys

BLOCK_SECONDS = 0.02


def cpu_seconds() -> tuple[float, float]:
    """Return the CPU seconds used so far by the machine and by this process; zeros where they cannot be read."""
    try:
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:]]
    except (OSError, ValueError):
        return 0.0, 0.0
    return sum(fields[:3] + fields[5:8]) / os.sysconf("SC_CLK_TCK"), time.process_time()


def resident_mb(field: str) -> float:
    """Return the resident memory of this process in MB: "VmRSS" now, "VmHWM" at its highest."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(field):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mean_square(array) -> float:
    """Return what frameworks are compared by: a loss, or the mean square of an output."""
    import numpy as np

    array = np.asarray(array, np.float64)
    return float(array) if array.ndim == 0 else float(np.mean(array * array))


def measure_import(package: str) -> dict:
    start = time.perf_counter()
    importlib.import_module(package)
    return {"seconds": time.perf_counter() - start}


def measure_usable(package: str) -> dict:
    start = time.perf_counter()
    importlib.import_module(package).tensor([1.0])
    return {"seconds": time.perf_counter() - start}


def measure_first(framework: str, variant: str, workload: str) -> dict:
    module = importlib.import_module(f"fw_{framework}")
    handle = module.build(workload, variant)()
    module.sync(handle)
    seconds = time.perf_counter() - START
    return {"seconds": seconds, "value": mean_square(module.value(handle))}


def measure_once(framework: str, variant: str, workload: str) -> dict:
    module = importlib.import_module(f"fw_{framework}")
    from common import RNN

    step = module.build(workload, variant)
    start = time.perf_counter()
    for _ in range(RNN["steps"]):
        handle = step()
    module.sync(handle)
    return {"seconds": time.perf_counter() - start, "value": mean_square(module.value(handle))}


def measure_steady(framework: str, variant: str, workload: str, budget: float) -> dict:
    module = importlib.import_module(f"fw_{framework}")
    step = module.build(workload, variant)
    built = resident_mb("VmRSS")
    handle = step()
    module.sync(handle)
    first = mean_square(module.value(handle))
    module.sync(step())
    count_plans = getattr(module, "num_plans", lambda: 0)
    plans, count, start = count_plans(), 0, time.perf_counter()
    while count < 5 or time.perf_counter() - start < min(0.25, budget / 4):  # warm up, and choose a block of about 20 ms
        module.sync(step())
        count += 1
    block = max(1, int(BLOCK_SECONDS * count / (time.perf_counter() - start)))
    times, end = [], time.perf_counter() + budget
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(block):
            handle = step()
        module.sync(handle)
        times.append((time.perf_counter() - start) / block)
    return {"seconds": statistics.median(times), "value": first, "built_mb": round(built, 1), "late_plans": count_plans() - plans}


def main() -> None:
    mode, framework, variant, workload, budget = sys.argv[1:]
    machine, own = cpu_seconds()
    if mode == "import":
        result = measure_import(framework)
    elif mode == "usable":
        result = measure_usable(framework)
    elif mode == "first":
        result = measure_first(framework, variant, workload)
    elif mode == "once":
        result = measure_once(framework, variant, workload)
    else:
        result = measure_steady(framework, variant, workload, float(budget))
    machine_end, own_end = cpu_seconds()
    busy = (machine_end - machine) - (own_end - own)
    result["peak_mb"] = round(resident_mb("VmHWM"), 1)
    result["others"] = round(max(0.0, busy / (time.perf_counter() - START)), 2)  # CPUs that other processes kept busy meanwhile
    print(json.dumps(result), flush=True)
    os._exit(0)  # the time of taking the process down is nobody's business


main()
