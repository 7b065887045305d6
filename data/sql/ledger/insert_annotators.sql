-- Parameters: the frame new_annotators.
insert into annotator (annotator_id, role)
select
    annotator_id,
    role
from new_annotators
on conflict do nothing;
