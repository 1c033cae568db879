"""The kata told in four acts: `lastunit sale`.

Reading order: plan (what is drawn from the seed), naive (act one), faults, cluster, progress, buyer, chaos (acts two
and three), zombie (act four), audit, records and verdict (what must be true afterwards), show and report (what is
printed), run (the four acts in a row), command (the command line).
"""
