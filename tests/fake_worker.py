"""A real worker process round a relaxation that is not: `python fake_worker.py --uri ... `, see dft.work.worker."""

import sys

from relax_fakes import FakeRelax, fake_run

from crystalloop.dft.work.worker import main

if __name__ == "__main__":
    sys.exit(main(relax=FakeRelax(), run=fake_run))
