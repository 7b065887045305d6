-- Parameters: the frame new_responses.
insert into response (response_id, prompt_id, text, text_sha256)
select
    response_id,
    prompt_id,
    text,
    text_sha256
from new_responses
on conflict do nothing;
