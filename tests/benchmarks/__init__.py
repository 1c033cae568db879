"""How fast lastunit sells, beside its peers and by one loop: `make bench`. Judges nothing; prints what it measured.

Read in this order:
plan       what is measured: cases, and what a system under measurement has to be able to do
measure    the load: closed loop and open loop, both bounded in time
histogram  latencies
systems/   lastunit, etcd, PostgreSQL, Redis, TigerBeetle, and an echo as the ceiling
rounds     all systems, one after the other, several times; nothing sold twice or lost in the end
report     medians and spread: the table and build/bench/latest.json
pictures   docs/*.svg, from that file
__main__   the command line

Benchmarks of their own, each with its word: catchup, rejoin, costs, growth/ (`make bench-catchup`, `make bench-rejoin`,
`make bench-costs`, `make bench-growth`).
"""
