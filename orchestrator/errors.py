"""Which errors a user can cause, and the exit code of each. Names only, so that no heavy library is imported for it."""

from __future__ import annotations

import errno

FAILED, USAGE, ENVIRONMENT, DATABASE = 1, 2, 3, 4

CODES: dict[str, int] = {
    "orchestrator.config.ConfigError": USAGE,
    "orchestrator.data_files.DataError": USAGE,
    "orchestrator.evaluate_inputs.EvaluateError": USAGE,
    "orchestrator.train_inputs.TrainInputError": USAGE,
    "orchestrator.crystal_file.RelaxInputError": USAGE,
    "orchestrator.generate_bases.CompoundError": USAGE,
    "orchestrator.generate_command.GenerateError": USAGE,
    "orchestrator.target_text.TargetError": USAGE,
    "orchestrator.results.UnknownCandidate": USAGE,
    "orchestrator.session.CampaignError": USAGE,
    "orchestrator.status.UnknownCampaign": USAGE,
    "db.query.QueryError": USAGE,
    "db.store.CampaignMismatch": USAGE,
    "models.elements.UnknownElement": USAGE,
    "models.prototypes.InvalidDecoration": USAGE,
    "dft.ground_states.NoReference": USAGE,
    "dft.pw_input.InputError": USAGE,
    "dft.pseudos.PwEnvironmentError": ENVIRONMENT,
    "orchestrator.workers.WorkersKeepDying": ENVIRONMENT,
    "models.checkpoint.CheckpointError": FAILED,
    "orchestrator.train.TooFewGpus": ENVIRONMENT,
    "orchestrator.train_job.TrainError": FAILED,
    "orchestrator.actors.ActorsKeepDying": FAILED,
    "db.store.StoreUnavailable": DATABASE,
    "db.server.DatabaseUnavailable": DATABASE,
    "db.probe.UnfitDatabase": DATABASE,
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
