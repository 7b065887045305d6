-- Parameters, by position: as the columns are listed.
insert into event (seq, event_id, batch_id, type, origin, at, sha256, payload)
values (?, ?, ?, ?, ?, ?, ?, ?);
