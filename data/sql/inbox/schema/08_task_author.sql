-- What wrote the responses of a task: nobody ranks their own.
-- Grain: one row per task and generator.
create table task_author (
    batch_id text not null,
    set_id text not null,
    generator text not null,
    primary key (batch_id, set_id, generator),
    foreign key (batch_id, set_id) references task (batch_id, set_id)
) strict, without rowid;
