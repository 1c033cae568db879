"""Memory and files of a cluster's nodes."""

from statistics import median
from typing import Any

import psutil

from benchmarks.growth.loader import Loaded
from lastunit_node.cli.local_cluster import LocalCluster

MB = 1e6


def rss_bytes(cluster: LocalCluster) -> int:
    """Resident memory of a node; the median of all."""
    return int(median(psutil.Process(pid).memory_info().rss for pid in cluster.running().values()))


def disk_bytes(cluster: LocalCluster) -> int:
    """Everything in a node's directory, -wal and log too; the median of all."""
    folders = [cluster.config.node_dir(node) for node in cluster.nodes]
    return int(median(sum(file.stat().st_size for file in folder.iterdir()) for folder in folders))


def weigh(empty: LocalCluster, loaded: LocalCluster, made: Loaded) -> dict[str, Any]:
    """After both took the same load."""
    rss_empty, rss_loaded = rss_bytes(empty), rss_bytes(loaded)
    return {
        "rss_mb_empty": round(rss_empty / MB, 1),
        "rss_mb_loaded": round(rss_loaded / MB, 1),
        "rss_bytes_per_reservation": round((rss_loaded - rss_empty) / made.reservations, 1),
        "disk_mb_of_a_loaded_node": round(disk_bytes(loaded) / MB, 1),
        "disk_bytes_per_reservation": round((made.bytes_of_all - made.bytes_of_stock) / made.reservations, 1),
        "disk_bytes_per_sku": round(made.bytes_of_stock / made.skus, 1),
    }
