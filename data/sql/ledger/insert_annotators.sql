-- Parameters: the frame written.
insert into annotator (annotator_id, role)
select
    annotator_id,
    role
from written
on conflict do nothing;
