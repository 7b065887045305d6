"""The reward model: a policy's backbone with a scalar head, trained on K-way rankings."""
