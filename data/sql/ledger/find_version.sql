-- Grain: one row.
select version
from store_version;
