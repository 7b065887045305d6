"""Made-up files for benchmarks/import_rankings.py: prompts.parquet, sets.jsonl and rankings.jsonl.

Each set has four responses and is ranked by five of fifty annotators. Half of the rankings tie some
responses, one in fifty is a skip. Equal sizes give equal files. They are compact, as our own files
are; lines with spaces between their tokens take the parser twice as long.
"""

from pathlib import Path

import duckdb

RANKINGS_PER_SET = 5

PROMPTS = """
select
    format('p_{:016x}', hash(i)) as prompt_id,
    format('f_{:016x}', hash(i // 3)) as family_id,
    'train' as split,
    format('[{{"content":"Question {}: 请解释递归。 Explain it to a child.","role":"user"}}]', i)
        as messages,
    'all' as stratum
from range($sets) as t(i)
"""

SETS = """
select
    'set/1' as schema,
    format('s_{:016x}', hash(i)) as set_id,
    format('p_{:016x}', hash(i)) as prompt_id,
    [{'role': 'user', 'content': format('Question {}: 请解释递归。 Explain it to a child.', i)}]
        as messages,
    list_transform(range(4), lambda j: {
        'response_id': format('r_{:016x}', hash(i * 4 + j)),
        'text': format('Answer {} to question {}: ', j, i) || repeat('a word and another ', 5),
        'generator': 'sft'
    }) as responses,
    '1' as guideline_version,
    'benchmark' as campaign
from range($sets) as t(i)
"""

RANKINGS = """
with answers as (
    select n, n // $per_set as i, n % $per_set as place, hash(n) as h from range($rankings) as t(n)
),
graded as (
    select
        n, i, place, h, j, hash(n * 4 + j) % 7 as grade, hash(n * 4 + j + 1) as shuffled
    from answers, range(4) as u(j)
),
tiered as (
    select
        *,
        dense_rank() over (partition by n order by grade) as tier,
        format('r_{:016x}', hash(i * 4 + j)) as response_id
    from graded
)
select
    'ranking/1' as schema,
    cast(md5(cast(n as varchar)) as uuid)::varchar as event_id,
    format('s_{:016x}', hash(any_value(i))) as set_id,
    format('annotator-{:02d}', (any_value(hash(i)) % 10 * 5 + any_value(place))::integer)
        as annotator_id,
    1 as revision,
    if(any_value(h) % 50 = 0, 'skipped', 'ranked') as outcome,
    case when any_value(h) % 50 != 0 then 'full' end as coverage,
    coalesce(
        map_from_entries(list((response_id, tier)) filter (h % 50 != 0)), map {}
    ) as tiers,
    case when any_value(h) % 50 = 0 then 'language' end as skip_reason,
    list(response_id order by shuffled) as display_order,
    true as touched,
    '2026-11-22T11:50:00+00:00' as started_at,
    '2026-11-22T11:52:00+00:00' as submitted_at,
    96000 + any_value(h) % 1000 as active_ms,
    'rank-ui/1' as ui_version
from tiered
group by n
order by n
"""


def write_files(folder: Path, *, rankings: int) -> None:
    """Write the three files with that many rankings, a multiple of RANKINGS_PER_SET."""
    sets = {"sets": rankings // RANKINGS_PER_SET}
    with duckdb.connect(":memory:", config={"threads": 2, "memory_limit": "4GB"}) as con:
        con.sql(PROMPTS, params=sets).write_parquet(str(folder / "prompts.parquet"))
        con.execute(_copy(SETS), {**sets, "path": str(folder / "sets.jsonl")})
        sizes = {"rankings": rankings, "per_set": RANKINGS_PER_SET}
        con.execute(_copy(RANKINGS), {**sizes, "path": str(folder / "rankings.jsonl")})


def _copy(query: str) -> str:
    return f"copy ({query}) to $path (format json)"
