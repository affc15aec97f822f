"""Which errors a user can cause, and the exit code of each. Names only, so that no heavy library is imported for it."""

from __future__ import annotations

import errno
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1  # the work itself could not be done; nothing computed is lost
    USAGE = 2  # the campaign file, a data file or an argument is wrong
    ENVIRONMENT = 3  # pw.x, a pseudopotential, disk space or the like is missing
    DATABASE = 4  # the database cannot be reached; the same command resumes
    INTERRUPTED = 130  # Ctrl-C; the same command resumes


FAILED, USAGE, ENVIRONMENT, DATABASE = Exit.FAILED, Exit.USAGE, Exit.ENVIRONMENT, Exit.DATABASE

CODES: dict[str, int] = {
    "crystalloop.orchestrator.campaign.spec.ConfigError": USAGE,
    "crystalloop.models.data.files.DataError": USAGE,
    "crystalloop.models.judge.inputs.EvaluateError": USAGE,
    "crystalloop.orchestrator.learn.inputs.TrainInputError": USAGE,
    "crystalloop.models.data.one_crystal.CrystalFileError": USAGE,
    "crystalloop.dft.alone.folder.RelaxInputError": USAGE,
    "crystalloop.models.generate.bases.CompoundError": USAGE,
    "crystalloop.models.generate.request.GenerateError": USAGE,
    "crystalloop.orchestrator.propose.target_text.TargetError": USAGE,
    "crystalloop.orchestrator.account.results.UnknownCandidate": USAGE,
    "crystalloop.orchestrator.run.session.CampaignError": USAGE,
    "crystalloop.orchestrator.account.status.UnknownCampaign": USAGE,
    "crystalloop.db.query.language.QueryError": USAGE,
    "crystalloop.db.ledger.store.CampaignMismatch": USAGE,
    "crystalloop.models.crystals.elements.UnknownElement": USAGE,
    "crystalloop.models.crystals.prototypes.InvalidDecoration": USAGE,
    "crystalloop.dft.energies.ground_states.NoReference": USAGE,
    "crystalloop.dft.recipe.settings.InputError": USAGE,
    "crystalloop.dft.recipe.pseudos.PwEnvironmentError": ENVIRONMENT,
    "crystalloop.orchestrator.run.workers.WorkersKeepDying": ENVIRONMENT,
    "crystalloop.models.nets.checkpoint.CheckpointError": FAILED,
    "crystalloop.orchestrator.learn.ray_fit.TooFewGpus": ENVIRONMENT,
    "crystalloop.models.learn.engine.BackendError": ENVIRONMENT,
    "crystalloop.models.learn.job.TrainError": FAILED,
    "crystalloop.orchestrator.propose.actors.ActorsKeepDying": FAILED,
    "crystalloop.db.ledger.store.StoreUnavailable": DATABASE,
    "crystalloop.db.serving.server.DatabaseUnavailable": DATABASE,
    "crystalloop.db.serving.probe.UnfitDatabase": DATABASE,
}


def code_and_sentence(error: BaseException) -> tuple[int, str] | None:
    """Exit code and message of an error that is no bug of ours; None for one that is."""
    for cls in type(error).__mro__:
        code = CODES.get(f"{cls.__module__}.{cls.__qualname__}")
        if code is not None:
            return code, str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            ENVIRONMENT,
            f"no space left for {error.filename or 'a file'}; free some and repeat the command: finished work is kept",
        )
    if isinstance(error, PermissionError):
        return ENVIRONMENT, f"no permission for {error.filename}; change its owner or mode, or choose another `folder`"
    return None
