"""RLHF after InstructGPT in pure PyTorch.

    rwkv/        the RWKV-7 model: WKV recurrence, time and channel mixing, initialisation
    language/    pretraining and supervised fine-tuning
    reward/      the reward model over K-way rankings
    ppo/         proximal policy optimisation against a frozen reference
    evaluation/  intervals over clusters, diversity

Knows no Prefect, MLflow, DuckDB or Polars; touches files only to save and load a model.
"""
