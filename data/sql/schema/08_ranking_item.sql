-- What a ranking says of each response of its set; tier is null where it was not ranked.
-- Grain: one row per ranking and response. Its keys are proven by checks/ledger in each ingest, since
-- as constraints they take more time and memory than all other tables.
create table ranking_item (
    ranking_id uuid not null,
    response_id varchar not null,
    tier utinyint check (tier between 1 and 9),
    display_pos utinyint not null check (display_pos between 1 and 9),
    quality utinyint check (quality between 1 and 7),
    flags varchar[] not null default []
);
