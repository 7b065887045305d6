-- Grain: one row per set and response.
create table ranking_set_item (
    set_id varchar not null references ranking_set (set_id),
    response_id varchar not null references response (response_id),
    primary key (set_id, response_id)
);
