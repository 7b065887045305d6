"""Where our own time goes, by torch's profiler."""

from collections import Counter

from torch.profiler import ProfilerActivity, profile

from benchmarks.timing import Work

KINDS = {
    "products with weights": {"aten::mm", "aten::addmm"},
    "products inside WKV or attention": {
        "aten::bmm",
        "aten::baddbmm",
        "aten::linalg_solve_triangular",
    },
    "copies": {"aten::copy_", "aten::cat", "aten::fill_", "aten::index_select"},
    "optimiser": {"aten::_fused_adamw_", "aten::_foreach_norm", "aten::linalg_vector_norm"},
}
REST = "elementwise and the rest"


def profiled(work: Work, *, calls: int = 3, is_warm: bool = False) -> profile:
    """A profile of some calls, after one that warms up."""
    if not is_warm:
        work()
    recorder = profile(activities=[ProfilerActivity.CPU])
    with recorder:
        for _ in range(calls):
            work()
    return recorder


def print_table(recorded: profile, rows: int = 25) -> None:
    """The operations that took most of the CPU time themselves."""
    print(
        recorded.key_averages().table(
            sort_by="self_cpu_time_total", row_limit=rows, max_name_column_width=45
        )
    )


def shares(recorded: profile) -> str:
    """Where self CPU time went, in words: "products with weights 31 %, ..."."""
    seconds: Counter[str] = Counter()
    for event in recorded.key_averages():
        kind = next((kind for kind, names in KINDS.items() if event.key in names), REST)
        seconds[kind] += event.self_cpu_time_total
    total = seconds.total()
    return ", ".join(f"{kind} {100 * part / total:.0f} %" for kind, part in seconds.most_common())
