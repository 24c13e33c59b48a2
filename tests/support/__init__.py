"""What tests of several folders share, besides the harness that starts their ranks.

* tensors: inputs, exact references, and error bounds for collectives that reduce.
* strategies: what hypothesis draws the collectives' cases from.
* training: what the tests of DDP and of frameworks share: models, the comparison with gloo.
* faults: what the ranks of the fault tests do, and what every test of an error looks at.
* program: runs a program in a fresh interpreter, as a user does, with a deadline for all of its processes.
* sandbox: refuses a system call, as containers do.
* scene: hosts in namespaces too, with the interfaces, addresses and names that a test gives them.
* wiring: random networks between the hosts of a scene.
* forward: connections to one port that end at another, as through a mapped port.
* overtaking: a wire between two hosts of the lab on which some packets come late.
"""

# What test files import at their top: paid for once by the process that forks ranks, instead of by each rank.
PRELOADED = ("hypothesis", "numpy", "pytest", "support.tensors")
