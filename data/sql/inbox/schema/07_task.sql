-- `taken` counts the assignments that are open or done; the triggers on assignment keep it. `lot` is
-- a random number: see find_free_tasks.
-- Grain: one row per set of a batch.
create table task (
    batch_id text not null references batch (batch_id),
    set_id text not null,
    position integer not null,
    purpose text not null check (purpose in ('main', 'overlap', 'gold', 'retest', 'calibration')),
    retest_of text,
    want integer not null check (want >= 1),
    priority integer not null,
    lot integer not null,
    taken integer not null default 0 check (taken >= 0),
    guideline_version text not null,
    campaign text not null,
    messages text not null check (json_valid(messages)),
    responses text not null check (json_valid(responses)),
    count_words integer not null,
    shown_sha256 text not null check (length(shown_sha256) = 64),
    primary key (batch_id, set_id),
    check ((purpose = 'retest') = (retest_of is not null))
) strict;
