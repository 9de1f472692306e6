"""A rule as Python again, with its flags decided: the lines that run, and no others."""

from ..language import unversioned


def python(program):
    arguments = [*program.variables, *(["*", *program.hyperparameters] if program.hyperparameters else [])]
    return "\n".join([
        f"def {program.name}({', '.join(arguments)}):",
        *(f"    {a.name} = {unversioned(a.value)}" for a in program.assignments),
        f"    return {', '.join(program.outputs)}",
        "",
    ])  # fmt: skip
