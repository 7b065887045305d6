-- Parameters: $name, $value, $at.
insert into mirror (name, value, at)
values ($name, $value, $at)
on conflict (name) do update set
    value = excluded.value,
    at = excluded.at;
