-- Settings of every connection. Recursive triggers, or "insert or replace" would slip past the
-- triggers that keep the log append-only. The cache holds the index of a large import.
pragma foreign_keys = on;
pragma recursive_triggers = on;
pragma synchronous = full;
pragma journal_size_limit = 67108864;
pragma cache_size = -65536;
