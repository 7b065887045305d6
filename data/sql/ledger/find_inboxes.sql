-- The inboxes that were taken in, the one that went furthest in front.
select source_id
from inbox_head
where source_id like 'inbox:%'
order by last_seq desc;
