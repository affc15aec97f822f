"""Finds new crystals in a closed loop: networks propose, Quantum ESPRESSO decides, the results retrain the networks.

The four packages stand at the top of the repository and are links here, so that they have one import name:
`crystalloop.orchestrator`, `crystalloop.models`, `crystalloop.dft`, `crystalloop.db` (docs/decisions/0009).
"""

import warnings

# pymatgen says so of He, Ne and Ar wherever it puts the elements of a formula in order; nothing here uses the value.
warnings.filterwarnings("ignore", "No Pauling electronegativity", UserWarning)

__version__ = "0.2.0"
