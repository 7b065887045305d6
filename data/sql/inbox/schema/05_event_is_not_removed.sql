create trigger event_is_not_removed before delete on event
begin
    select raise(abort, 'the event log is append-only');
end;
