"""Direct preference optimisation: a policy straight from the pairs, without reward model or PPO."""
