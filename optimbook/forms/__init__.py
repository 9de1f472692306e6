"""The printed forms of a rule, one file each. `lower` is what the machine forms share; `latex` prints the author's own order."""
