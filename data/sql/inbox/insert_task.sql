-- Parameters: those of the columns.
insert into task (
    batch_id, set_id, position, purpose, retest_of, want, priority, lot, guideline_version, campaign,
    messages, responses, count_words, shown_sha256
)
values (
    $batch_id, $set_id, $position, $purpose, $retest_of, $want, $priority, $lot, $guideline_version,
    $campaign, $messages, $responses, $count_words, $shown_sha256
);
