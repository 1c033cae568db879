"""What becomes of lastunit as its state grows: `make bench-growth`. Measures and prints; nothing here fails a build.

To be read in this order: loader.py makes a large state offline and gives it to the nodes of a new cluster, clusters.py
starts that one and an empty one, load.py drives callers and writes down what they waited, throughput.py compares the
two, stalls.py looks for the longest wait while journals are trimmed and while holds expire, returns.py restarts and
wipes a node, sizes.py weighs memory and files, ticks.py times single entries of a sweep without a cluster, run.py puts
them in order, report.py prints, and __main__.py is the command line.
"""
