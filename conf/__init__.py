"""The configuration groups, and the few helpers that know Hydra."""
