"""The `lastunit` command: the local cluster of a cluster file, and every command of the API.

Knows the cluster file and the client library, never the insides of a node: what it does, any program can do.

Reading order: errors, processes, node_status, verification, probes, data_directories, local_cluster; then options,
output, rendering, failures, cluster_commands, inventory_commands, program, main. `sale/` is the demonstration that
`make sale` runs.
"""
