-- Answers of a run in place of which the annotator gave one that waits or was discarded: whoever
-- takes an answer back does not stand by it, whatever becomes of the new one.
-- Parameters: the frame written (set_id, annotator_id, revision), $run_id.
delete from run_event
using ranking, written
where
    run_event.run_id = $run_id
    and run_event.event_id = ranking.ranking_id
    and ranking.set_id = written.set_id
    and ranking.annotator_id = written.annotator_id
    and ranking.revision < written.revision;
