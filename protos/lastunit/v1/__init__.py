"""lastunit.v1: inventory_pb2, inventory_pb2_grpc, cluster_pb2, cluster_pb2_grpc."""
