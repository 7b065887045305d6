-- Parameters: $batch_id, $answer_id, $state.
update assignment set
    state = $state,
    is_held = 0
where batch_id = $batch_id and answer_id = $answer_id;
