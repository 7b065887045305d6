-- The inbox that was taken in most, where this one never was.
-- Parameters: $source.
select inbox_head.source_id
from inbox_head
where
    inbox_head.source_id like 'inbox:%'
    and not exists (
        select 1
        from inbox_head as mine
        where mine.source_id = $source
    )
order by inbox_head.last_seq desc
limit 1;
