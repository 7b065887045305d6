select
    seq,
    lower(hex(sha256)) as sha256
from event
order by seq desc
limit 1;
