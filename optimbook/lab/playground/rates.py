"""The learning rates that the playground begins with, since the classes' own defaults hardly move on some of its surfaces.

Each is the best of 1, 2, 5, 10, ... over the range of its knob: the one whose path has the lowest loss over 200 steps (the mean of
the loss's logarithm, above the minimum and at least 1e-10) and stays in the picture. A test works them out again.
"""

RATES = {
    "ravine": {
        "SGD": 0.05, "Momentum": 0.02, "Nesterov": 0.05, "Adagrad": 2, "RMSprop": 0.1, "RMSprop-centered": 0.1, "Adadelta": 20, "Adam":
        0.5, "AMSGrad": 0.5, "AdamW": 2, "Adamax": 0.5, "NAdam": 0.2, "RAdam": 0.1, "Yogi": 0.5, "Lion": 0.5, "Rprop": 2, "ASGD": 0.05,
    },
    "valley": {
        "SGD": 0.05, "Momentum": 0.005, "Nesterov": 0.005, "Adagrad": 0.5, "RMSprop": 0.05, "RMSprop-centered": 0.05, "Adadelta": 20,
        "Adam": 0.2, "AMSGrad": 0.2, "AdamW": 0.1, "Adamax": 0.5, "NAdam": 0.1, "RAdam": 0.1, "Yogi": 0.2, "Lion": 0.1, "Rprop": 2,
        "ASGD": 0.05,
    },
    "saddle": {
        "SGD": 0.5, "Momentum": 0.2, "Nesterov": 0.5, "Adagrad": 1, "RMSprop": 0.1, "RMSprop-centered": 0.1, "Adadelta": 20, "Adam": 1,
        "AMSGrad": 1, "AdamW": 1, "Adamax": 1, "NAdam": 0.1, "RAdam": 1, "Yogi": 0.2, "Lion": 0.1, "Rprop": 0.2, "ASGD": 0.5,
    },
    "plateau": {
        "SGD": 0.5, "Momentum": 1, "Nesterov": 0.5, "Adagrad": 0.5, "RMSprop": 0.02, "RMSprop-centered": 0.05, "Adadelta": 5, "Adam":
        0.5, "AMSGrad": 0.5, "AdamW": 1, "Adamax": 2, "NAdam": 0.05, "RAdam": 2, "Yogi": 0.5, "Lion": 0.2, "Rprop": 2, "ASGD": 0.5,
    },
    "rosenbrock": {
        "SGD": 0.02, "Momentum": 0.01, "Nesterov": 0.005, "Adagrad": 1, "RMSprop": 0.1, "RMSprop-centered": 0.1, "Adadelta": 10, "Adam":
        0.5, "AMSGrad": 0.5, "AdamW": 0.5, "Adamax": 0.5, "NAdam": 0.1, "RAdam": 0.02, "Yogi": 0.5, "Lion": 0.05, "Rprop": 0.2, "ASGD":
        0.02,
    },
    "beale": {
        "SGD": 0.02, "Momentum": 0.005, "Nesterov": 0.005, "Adagrad": 2, "RMSprop": 0.2, "RMSprop-centered": 0.2, "Adadelta": 50,
        "Adam": 0.5, "AMSGrad": 0.5, "AdamW": 0.5, "Adamax": 1, "NAdam": 0.5, "RAdam": 0.01, "Yogi": 0.5, "Lion": 0.1, "Rprop": 1,
        "ASGD": 0.02,
    },
    "himmelblau": {
        "SGD": 0.01, "Momentum": 0.005, "Nesterov": 0.005, "Adagrad": 1, "RMSprop": 0.05, "RMSprop-centered": 0.05, "Adadelta": 10,
        "Adam": 1, "AMSGrad": 2, "AdamW": 1, "Adamax": 2, "NAdam": 0.1, "RAdam": 0.05, "Yogi": 1, "Lion": 0.05, "Rprop": 2, "ASGD":
        0.01,
    },
}  # fmt: skip
