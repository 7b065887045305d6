-- The log. sha256 is over the one of the row before, event_id, batch_id, type, origin, at, payload.
-- Grain: one row per thing that happened, in the order of the commits, without gaps.
create table event (
    seq integer primary key,
    event_id text not null,
    batch_id text not null,
    type text not null check (
        type in ('published', 'handed_out', 'expired', 'ranking', 'decision', 'finished')
    ),
    origin text not null,
    at text not null,
    sha256 blob not null check (length(sha256) = 32),
    payload blob not null,
    unique (event_id, batch_id)
) strict;
