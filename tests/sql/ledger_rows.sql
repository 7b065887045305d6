-- One ranking of one set of two responses, used by the run 'run', and a response of another prompt.
insert into prompt (prompt_id, messages, content_sha256, norm_sha256)
values ('p', '[]', repeat('a', 64), repeat('a', 64)), ('q', '[]', repeat('b', 64), repeat('b', 64));

insert into response (response_id, prompt_id, text, text_sha256)
values
('a', 'p', 'x', repeat('a', 64)),
('b', 'p', 'y', repeat('b', 64)),
('c', 'q', 'z', repeat('c', 64));

insert into ranking_set (
    set_id, prompt_id, k, purpose, guideline_version, campaign, count_words, shown_sha256, content_sha256
)
values ('s', 'p', 2, 'main', '1', 'test', 2, repeat('a', 64), repeat('a', 64));

insert into ranking_set_item (set_id, response_id)
values ('s', 'a'), ('s', 'b');

insert into run_set_item (run_id, set_id, response_id, generator)
values ('run', 's', 'a', 'sft'), ('run', 's', 'b', 'sft');

insert into annotator (annotator_id, role)
values ('ann', 'expert');

insert into ingest_event (event_id, payload_sha256, source_id, source_seq, payload, run_id)
values ('0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e01', repeat('a', 64), 'file', 1, '{}', 'run');

insert into ranking (
    ranking_id, set_id, annotator_id, revision, outcome, coverage, active_ms, started_at, submitted_at,
    ui_version
)
values (
    '0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e01', 's', 'ann', 1, 'ranked', 'full', 1, now(), now(), 'test'
);

insert into ranking_item (ranking_id, response_id, tier, display_pos)
values
('0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e01', 'a', 1, 1),
('0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e01', 'b', 2, 2);

insert into run_event (run_id, event_id)
values ('run', '0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e01');
