"""The methods of the contract's services: each reads its request through `wire`, has the engine
compute, and writes the answer. `service.rpc.registration` puts them together.
"""
