"""The Evaluate tab: a checkpoint measured on the garden."""
