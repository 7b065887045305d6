-- Leases in the order in which they end.
create index lease on assignment (lease_ends_at)
where state = 'open';
