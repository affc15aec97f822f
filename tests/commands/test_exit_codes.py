"""Every error of ours has the exit code that users rely on, or is known never to leave its room."""

import ast
import errno
from importlib import import_module
from pathlib import Path

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import AutoReconnect, OperationFailure

from crystalloop.orchestrator.cli.exit_codes import EXIT_KINDS, Exit, code_and_sentence

ROOT = Path(__file__).parents[2]

PROMISED = {
    Exit.USAGE: "BadPlace CampaignError CampaignMismatch CompoundError ConfigError CrystalFileError DataError "
    "EvaluateError GenerateError InputError InvalidDecoration LaboratoryError NoReference PathError QueryError "
    "RelaxInputError TargetError TrainInputError UnknownCampaign UnknownCandidate UnknownElement",
    Exit.ENVIRONMENT: "ActorsNotStarted BackendError ClusterTooSmall ClusterUnreachable CorruptPseudo DiskFull FetchError "
    "FolderOutside MachineFault MissingPseudo NoScratch PwCommandError PwEnvironmentError PwNotFound "
    "ScratchNotWritable TooFewGpus UnreadablePath WorkersKeepDying",
    Exit.FAILED: "ActorsKeepDying CheckpointError RayDeadline TrainError",
    Exit.DATABASE: "DatabaseUnavailable StoreRefused StoreUnavailable UnfitDatabase UnusableUri",
}
CAUGHT = (
    "CifError CommandError FolderInUse FolderNotPrivate FormatError Interrupted InvalidCrystal LineError "
    "NotUpf PoorFit ProtocolError ReconstructionError StopKindly StorageError TextError TimeIsUp "
    "UncodedElement UnknownField"
)
"""Errors that another room of ours answers; one that reaches the command line is a bug, and shown as one."""


def errors() -> dict[str, str]:
    """Every exception class of the four folders, by the names of what they are made from: name -> module."""
    found: dict[str, str] = {}
    classes = [
        (node, ".".join(("crystalloop", *path.relative_to(ROOT).with_suffix("").parts)))
        for floor in ("models", "dft", "db", "orchestrator")
        for path in sorted((ROOT / floor).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    bases = {"Exception", "ValueError", "RuntimeError", "OSError", "KeyError", "TypeError"}
    for _ in range(3):  # of ours from ours from Python's
        found |= {node.name: module for node, module in classes if bases & {ast.unparse(base) for base in node.bases}}
        bases |= set(found)
    return found


ERRORS = errors()


@pytest.mark.parametrize(("name", "code"), [(name, code) for code, names in PROMISED.items() for name in names.split()])
def test_an_error_of_ours_keeps_its_exit_code(name, code):
    cls = getattr(import_module(ERRORS[name]), name)
    assert code_and_sentence(cls.__new__(cls, "why")) == (code, "why")


@pytest.mark.parametrize("name", CAUGHT.split())
def test_an_error_that_is_answered_inside_is_a_bug_outside(name):
    assert not hasattr(getattr(import_module(ERRORS[name]), name), "exit_kind")


def test_no_error_is_without_a_promise():
    assert set(ERRORS) == {name for names in (*PROMISED.values(), CAUGHT) for name in names.split()}
    assert set(EXIT_KINDS.values()) == set(PROMISED)


def test_a_full_disk_and_a_missing_permission_are_the_machines_and_other_errors_are_bugs():
    full, forbidden = OSError(errno.ENOSPC, "full", "a.npz"), PermissionError(errno.EACCES, "no", "b")
    assert [code_and_sentence(error)[0] for error in (full, forbidden)] == [Exit.ENVIRONMENT] * 2
    assert "no space left for a.npz" in code_and_sentence(full)[1]
    assert code_and_sentence(ValueError("x")) is None
    assert code_and_sentence(OSError(errno.ENOENT, "none", "c")) is None


@pytest.mark.parametrize("number", [errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.EFBIG])
def test_what_a_machine_lacks_is_not_a_bug(number):
    code, sentence = code_and_sentence(OSError(number, "what it is", "a.npz"))
    assert (code, "what it is: a.npz" in sentence) == (Exit.ENVIRONMENT, True)
    assert code_and_sentence(MemoryError())[0] == Exit.ENVIRONMENT


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure("not authorized on crystals, full error: {'ok': 0}", 13),
        AutoReconnect("connection closed"),
        InvalidDocument("cannot encode object"),
    ],
)
def test_an_error_of_the_driver_that_nobody_else_met_is_the_databases(error):
    code, sentence = code_and_sentence(error)
    assert (code, "full error" in sentence, "\n" in sentence) == (Exit.DATABASE, False, False)
