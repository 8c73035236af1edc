"""A discrete-event simulation of a fleet: a thousand models, hundreds of hosts, two controllers, and what fails.

The decision is the platform's own `decide`, on what the platform's own history functions read from entries that are
chained and signed as the ledger's are. Hosts, registry, database and the durations of the steps are simulated.
"""
