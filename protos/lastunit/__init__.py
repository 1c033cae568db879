"""Generated code of the lastunit API, beside its .proto files."""
