-- Who ranks: people, simulated annotators, a language model, or the unnamed source of an imported
-- file.
-- Grain: one row per annotator.
create table annotator (
    annotator_id varchar primary key,
    role varchar not null check (role in ('annotator', 'expert', 'simulated', 'import', 'judge')),
    is_active boolean not null default true
);
