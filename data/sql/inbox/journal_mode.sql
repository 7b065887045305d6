-- Once, at creation: the file itself remembers it.
pragma journal_mode = wal;
