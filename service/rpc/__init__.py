"""The service's edge: the only package, besides the server, that knows gRPC and the stubs."""
