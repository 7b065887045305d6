-- Why sets were skipped.
-- Grain: one row per reason.
select
    skip_reason as reason,
    count(*) as answers
from answers
where outcome = 'skipped'
group by skip_reason
order by count(*) desc, skip_reason;
