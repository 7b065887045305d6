-- Grain: one row per signed-in browser.
create table session (
    session_sha256 text primary key check (length(session_sha256) = 64),
    annotator_id text not null references annotator (annotator_id),
    ends_at text not null
) strict;
