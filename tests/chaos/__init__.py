"""Faults on a real cluster, and a checker that trusts nobody: `make chaos MINUTES=10 NODES=3 SEED=1`.

Read in this order:
history    what clients saw, as JSON lines that any checker can read
model      the naive inventory: what the answers should have been
verdict    violations in words, and the figures of the history
clocks, replay, order, final   what a history is held to
checker    all of these, one after the other; honest makes the history that its test doctors
clients    the workload; writes the history
proxy, cluster   real nodes, with a TCP proxy on every link
nemesis    what goes wrong, and when
recovery, latency   how long orders stood still, and how long calls took
page, report, run, __main__   the whole run, its figures and its picture
targets, etcd, failover   `make failover`
calm       `make calm`
"""
