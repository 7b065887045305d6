-- The few events that are no rankings. An index over all would slow down every import.
create index other_event on event (type, batch_id)
where type != 'ranking';
