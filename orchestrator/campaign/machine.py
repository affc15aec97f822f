"""Machine: what a machine brings to a campaign, as the options of its worker processes. The physics is the campaign's."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from crystalloop.orchestrator.campaign.spec import Campaign


@dataclass(frozen=True)
class Machine:
    """How pw.x runs here; None takes what the campaign file, the environment or the default says.

    Args:
        pw_command: see dft.pw.command.
        pseudos: folder of the same pseudopotentials that the campaign has; md5 are compared before every launch.
        scratch: fast local folder for wave functions.
        idle_exit_s: workers end after so many seconds without work.
        slot_s: workers hand their work back and end after so many seconds.
    """

    pw_command: str | None = None
    pseudos: Path | None = None
    scratch: Path | None = None
    idle_exit_s: float | None = None
    slot_s: float | None = None

    def command_of(self, campaign: Campaign) -> str:
        """The command that starts pw.x here."""
        return self.pw_command or campaign.dft.pw_command

    def pseudos_of(self, campaign: Campaign) -> Path:
        """The folder of pseudopotentials here."""
        return self.pseudos or campaign.pseudo_folder

    @property
    def ends(self) -> bool:
        """Whether workers end by themselves, and are not to be replaced then."""
        return self.idle_exit_s is not None or self.slot_s is not None

    def worker_options(self, campaign: Campaign) -> list[str]:
        """Command-line options of dft.work.worker."""
        scratch = self.scratch or campaign.dft.scratch
        options = {
            "--database": campaign.database.name,
            "--runs": str((campaign.run_folder / "relaxations").resolve()),
            "--pseudos": str(self.pseudos_of(campaign).resolve()),
            "--pw-command": self.command_of(campaign),
            "--category": campaign.name,
            "--ttl": str(campaign.dft.lease_s),
            "--parent-pid": str(os.getpid()),
            "--scratch": scratch and str(scratch.resolve()),
            "--idle-exit": self.idle_exit_s and str(self.idle_exit_s),
            # A moment, so that a worker which takes the place of a dead one has no more time than that had.
            "--slot-ends": self.slot_s and f"{time.time() + self.slot_s:.0f}",
        }
        return [text for name, value in options.items() if value for text in (name, value)]
