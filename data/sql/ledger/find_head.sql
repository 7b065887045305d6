-- Grain: one row, or none before the first ingest from an inbox.
-- Parameters: $source.
select
    last_seq,
    tail_sha256
from inbox_head
where source_id = $source;
