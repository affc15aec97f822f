"""The module that stored fireworks name, for FireWorks' own tools: `lpad` and `qlaunch` import it to read the queue.

There is no package `dft`: this folder has no `__init__.py`, so any package of that name, wherever it lies, is taken first.
Our own processes never import this file (crystalloop.dft.work.firetask; docs/decisions/0009-one-import-name.md).
"""

from crystalloop.dft.work.firetask import RelaxTask

__all__ = ["RelaxTask"]
