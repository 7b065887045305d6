create trigger place_is_taken after insert on assignment
begin
    update task set taken = taken + (new.state in ('open', 'done'))
    where batch_id = new.batch_id and set_id = new.set_id;
end;
