create trigger place_changes after update of state on assignment
begin
    update task set
        taken = taken + (new.state in ('open', 'done')) - (old.state in ('open', 'done'))
    where batch_id = new.batch_id and set_id = new.set_id;
end;
