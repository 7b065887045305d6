"""RWKV-7 "Goose" (x070): config, WKV recurrence, blocks, model, initialisation."""
