-- Events of a type and batch in the order of seq, and their number.
create index event_by_type on event (type, batch_id);
