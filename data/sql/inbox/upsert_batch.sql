-- A batch that is there keeps its tasks and when it was published; what the run asks for is renewed.
-- Parameters: those of the columns.
insert into batch (
    batch_id, name, campaign, guideline_version, wanted, deadline, allow_top, config,
    retest_after_seconds, published_at
)
values (
    $batch_id, $name, $campaign, $guideline_version, $wanted, $deadline, $allow_top, $config,
    $retest_after_seconds, $published_at
)
on conflict (batch_id) do update set
    name = excluded.name,
    wanted = excluded.wanted,
    deadline = excluded.deadline,
    allow_top = excluded.allow_top,
    config = excluded.config,
    retest_after_seconds = excluded.retest_after_seconds,
    withdrawn_at = null;
