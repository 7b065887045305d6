-- Parameters: $source, $last_seq, $tail_sha256.
insert into inbox_head (source_id, last_seq, tail_sha256)
values ($source, $last_seq, $tail_sha256)
on conflict do update set
    last_seq = excluded.last_seq,
    tail_sha256 = excluded.tail_sha256;
