"""Who races: one file each, run by ``race.py`` as ``python -m benchmarks.contestants.NAME FOLDER [EPOCHS]``."""
