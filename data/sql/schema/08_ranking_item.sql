-- What a ranking says of each response of its set; tier is null where it was not ranked.
-- Grain: one row per ranking and response.
create table ranking_item (
    ranking_id uuid not null references ranking (ranking_id),
    response_id varchar not null references response (response_id),
    tier utinyint check (tier between 1 and 9),
    display_pos utinyint not null check (display_pos between 1 and 9),
    quality utinyint check (quality between 1 and 7),
    flags varchar[] not null default [],
    primary key (ranking_id, response_id),
    unique (ranking_id, display_pos)
);
