-- Parameters: the frame written.
insert into prompt (prompt_id, messages, content_sha256, norm_sha256)
select
    prompt_id,
    messages,
    content_sha256,
    norm_sha256
from written
on conflict do nothing;
