-- What makes this file an inbox. The shuffle secret decides in which order each annotator sees the
-- responses of a set; it never leaves the file.
-- Grain: one row.
create table inbox (
    version integer not null,
    inbox_id text not null check (length(inbox_id) = 32),
    shuffle_secret blob not null check (length(shuffle_secret) = 32),
    created_at text not null
) strict;
