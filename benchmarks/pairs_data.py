"""A large made-up snapshot for benchmarks/pairs.py, in the schema of data.snapshot.

Each set has four responses and two current rankings by different annotators of forty. One ranking
in twenty was revised, one in thirty-three skipped, one in ten names its best responses alone
(coverage `top`), and about half of the full ones tie some responses. Equal sizes give equal files.
"""

from pathlib import Path

import duckdb

PROMPTS = """
select
    format('p_{:016x}', hash(i)) as prompt_id,
    format('f_{:016x}', hash(i // 3)) as family_id,
    if(hash(i // 3) % 10 = 0, 'validation', 'train') as split,
    format('[{{"role":"user","content":"Question {}"}}]', i) as messages,
    'all' as stratum,
    format('{:064x}', i) as norm_sha256
from range($sets) as t(i)
"""

RESPONSES = """
select
    format('r_{:016x}', hash(i * 4 + j)) as response_id,
    format('p_{:016x}', hash(i)) as prompt_id,
    format('Answer {} to question {}', j, i) as text,
    'sft' as generator
from range($sets) as t(i), range(4) as u(j)
"""

SETS = """
select
    format('s_{:016x}', hash(i)) as set_id,
    format('p_{:016x}', hash(i)) as prompt_id,
    cast(4 as utinyint) as k,
    if(i % 50 = 0, 'retest', 'main') as purpose
from range($sets) as t(i)
"""

SET_ITEMS = """
select
    format('s_{:016x}', hash(i)) as set_id,
    format('r_{:016x}', hash(i * 4 + j)) as response_id
from range($sets) as t(i), range(4) as u(j)
"""

# n numbers a set and one of its two annotators; revision 2 exists for one in twenty.
RANKINGS = """
with answers as (
    select n, revision, hash(n, revision) as h
    from range(2 * $sets) as t(n), range(1, 3) as u(revision)
    where revision = 1 or hash(n) % 20 = 0
),
outcomes as (
    select *, if(h % 33 = 0, 'skipped', 'ranked') as outcome from answers
)
select
    cast(md5(format('{} {}', n, revision)) as uuid)::varchar as ranking_id,
    format('s_{:016x}', hash(n // 2)) as set_id,
    format('annotator-{:02d}', (hash(n // 2) % 20 + 20 * (n % 2))::integer) as annotator_id,
    cast(revision as usmallint) as revision,
    outcome,
    case when outcome = 'ranked' then if(h % 10 = 1, 'top', 'full') end as coverage,
    case when outcome = 'skipped' then 'unclear' end as skip_reason,
    n,
    h
from outcomes
"""

ITEMS = """
with graded as (
    select ranking_id, n, h, j, outcome, coverage, hash(h, j) % 7 as grade
    from numbered_rankings, range(4) as u(j)
),
ranked as (
    select *, dense_rank() over (partition by ranking_id order by grade) as tier from graded
)
select
    ranking_id,
    format('r_{:016x}', hash((n // 2) * 4 + j)) as response_id,
    cast(case when outcome = 'ranked' and (coverage = 'full' or tier <= 2) then tier end
        as utinyint) as tier,
    cast(j + 1 as utinyint) as display_pos,
    cast(null as utinyint) as quality,
    cast([] as varchar[]) as flags
from ranked
"""


def write_snapshot(folder: Path, *, rankings: int) -> None:
    """Write the six tables of a snapshot with about `rankings` current rankings."""
    with duckdb.connect(":memory:", config={"threads": 2}) as con:
        sets = rankings // 2
        con.sql(RANKINGS, params={"sets": sets}).create("numbered_rankings")
        tables = {
            "prompt": PROMPTS,
            "response": RESPONSES,
            "ranking_set": SETS,
            "ranking_set_item": SET_ITEMS,
            "ranking": "select * exclude (n, h) from numbered_rankings",
            "ranking_item": ITEMS,
        }
        for name, query in tables.items():
            parameters = {"sets": sets} if "$sets" in query else {}
            path = str(folder / f"{name}.parquet")
            con.sql(query, params=parameters).write_parquet(path)
