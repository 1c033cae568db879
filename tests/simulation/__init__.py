"""A whole cluster in one process: the real replica of 3 or 5 nodes, in virtual time, with everything else simulated.

One seed decides all of it: the network, the clocks, the disks, the clients and what goes wrong when. The same seed
plays the same story, bit for bit, so a failure found once is found again by its number.

Reading order: clock; trace; profile (what one seed is like); network; disk, damage; frontend, clients, sessions (load);
mishaps, watched, copies, node; oracle, raft_checks (what must hold); reads; faults; failover; world (one seed from
begin to end); runner, __main__ (many seeds); mutants, planting, planted_raft, planted_state (bugs planted to see that
they are found).
"""

from support.interpreted import prefer_sources

prefer_sources()
