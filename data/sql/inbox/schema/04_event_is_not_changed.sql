create trigger event_is_not_changed before update on event
begin
    select raise(abort, 'the event log is append-only');
end;
