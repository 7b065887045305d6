"""RWKV-4: config, WKV recurrence, blocks, model, initialisation."""
