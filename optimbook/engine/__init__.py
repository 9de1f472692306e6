"""How a rule runs over parameters.

`optimizer` is the torch-compatible class; `plan` gathers what a step works on; `cpu` and
`cuda` run compiled kernels, `eager` everything else; `cache` keeps what was compiled.
"""
