-- Parameters: the frame new_prompts.
insert into prompt (prompt_id, messages, content_sha256, norm_sha256)
select
    prompt_id,
    messages,
    content_sha256,
    norm_sha256
from new_prompts
on conflict do nothing;
