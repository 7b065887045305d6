-- Names and tokens stay in this table: everything else knows the annotator's id alone.
-- Grain: one row per account.
create table annotator (
    annotator_id text primary key,
    role text not null check (role in ('annotator', 'lead')),
    name text not null,
    token_sha256 text not null unique check (length(token_sha256) = 64),
    max_per_day integer check (max_per_day >= 1),
    is_active integer not null check (is_active in (0, 1)),
    created_at text not null
) strict;
