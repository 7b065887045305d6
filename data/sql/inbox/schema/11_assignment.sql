-- A task in the hands of an annotator. "open" and "done" take a place of the task's `want`;
-- "expired" and "discarded" have given it back.
-- The annotator has no account here when the answer came in a file.
-- Grain: one row per task and annotator, however often it was handed out or revised.
create table assignment (
    batch_id text not null,
    set_id text not null,
    annotator_id text not null,
    state text not null check (state in ('open', 'expired', 'done', 'discarded')),
    display_order text not null check (json_valid(display_order)),
    handed_out_at text not null,
    lease_ends_at text not null,
    draft text,
    draft_rev integer not null default 0,
    answer_id text,
    revision integer not null default 0,
    outcome text check (outcome in ('ranked', 'skipped', 'not_rankable')),
    answered_at text,
    revised_at text,
    is_held integer not null default 0 check (is_held in (0, 1)),
    is_late integer not null default 0 check (is_late in (0, 1)),
    primary key (batch_id, set_id, annotator_id),
    foreign key (batch_id, set_id) references task (batch_id, set_id),
    check ((state in ('done', 'discarded')) = (revision >= 1)),
    check ((revision >= 1) = (answer_id is not null)),
    check ((revision >= 1) = (outcome is not null)),
    check ((revision >= 1) = (answered_at is not null))
) strict;
