"""Private copies of a network, for attribution methods that hook its modules.

The network itself is never touched. A copy has the network's own parameters, so that it takes
hardly any memory, and lasts as long as one explanation. `hooked_copy` is the network as it is;
`captum_model` is one rewritten until captum's hooks are right.
"""
