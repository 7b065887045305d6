-- The stored events among those wanted.
-- Grain: one row per event.
-- Parameters: the frame wanted (event_id).
select
    cast(ingest_event.event_id as varchar) as event_id,
    ingest_event.payload_sha256
from ingest_event
semi join wanted on ingest_event.event_id = cast(wanted.event_id as uuid);
