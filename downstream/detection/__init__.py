"""Detection: heads on an encoder's maps, average precision, baselines and pictures."""
