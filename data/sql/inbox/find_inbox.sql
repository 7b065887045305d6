select
    version,
    inbox_id,
    shuffle_secret
from inbox;
