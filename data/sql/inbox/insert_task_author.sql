-- Parameters: $batch_id, $set_id, $generator.
insert or ignore into task_author (batch_id, set_id, generator)
values ($batch_id, $set_id, $generator);
