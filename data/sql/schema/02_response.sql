-- A reply to a prompt. Two runs may make the same reply: what wrote it stands in run_set_item.
-- Grain: one row per response.
create table response (
    response_id varchar primary key,
    prompt_id varchar not null,
    text varchar not null check (length(trim(text)) > 0),
    text_sha256 varchar not null check (length(text_sha256) = 64)
);
