"""Faults on a real cluster, and a checker that trusts nobody: `make chaos MINUTES=10 NODES=3 SEED=1`.

Read in this order:
history    what clients saw, as JSON lines that any checker can read
model      the naive inventory: what the answers should have been
checker    judges a history by the model, and says in words what is wrong
clients    the workload; writes the history
proxy, cluster   real nodes, with a TCP proxy on every link
nemesis, faults  what goes wrong, and when
recovery   how long orders stood still
report, __main__ the whole run, its figures and its picture
"""
