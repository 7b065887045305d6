-- Parameters: the frame written.
insert into response (response_id, prompt_id, text, text_sha256)
select
    response_id,
    prompt_id,
    text,
    text_sha256
from written
on conflict do nothing;
