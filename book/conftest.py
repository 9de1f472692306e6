"""How nbval runs the chapters and what it compares."""

import os

from nbval.kernel import RunningKernel

os.environ["OPTIMBOOK_QUIET"] = "1"  # no progress bars


def pytest_collectstart(collector):
    """What goes to stderr differs from machine to machine; `make chapters` stores none of it."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


def execute_cell_input(self, cell_input, allow_stdin=None):
    """As nbval's own, but with history: there IPython looks for the ``;`` that silences a cell."""
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = execute_cell_input
