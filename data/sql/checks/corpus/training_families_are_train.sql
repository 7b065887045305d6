-- Families of training texts that have a prompt in the validation or test split.
-- Grain: one row per family; must be empty.
-- Parameters: the frames prompts, sft, pretrain.
with trained as (
    select family_id from sft
    union
    select family_id from pretrain
),

held_out as (
    select distinct family_id
    from prompts
    where split != 'train'
)

select trained.family_id
from trained
inner join held_out on trained.family_id = held_out.family_id;
