-- Parameters: $key, $value, $at.
insert into mirror (key, value, at)
values ($key, $value, $at)
on conflict (key) do update set
value = excluded.value,
at = excluded.at;
