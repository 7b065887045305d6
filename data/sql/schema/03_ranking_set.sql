-- K responses to one prompt, shown together to be ranked.
-- Grain: one row per set.
create table ranking_set (
    set_id varchar primary key,
    prompt_id varchar not null,
    k utinyint not null check (k between 2 and 9),
    purpose varchar not null check (purpose in ('main', 'overlap', 'gold', 'retest', 'calibration')),
    retest_of varchar,
    guideline_version varchar not null,
    campaign varchar not null,
    count_words uinteger not null,
    shown_sha256 varchar not null check (length(shown_sha256) = 64),
    content_sha256 varchar not null check (length(content_sha256) = 64),
    check ((purpose = 'retest') = (retest_of is not null))
);
