"""Save a training run after each epoch, and take it up where it was cut.

A checkpoint is one NumPy archive: parameters, the trainer's state, the
states of the random generators, and notes of the caller's. It holds numbers
and JSON only, so that reading one runs no code of its author's. A run that
is taken up gives the parameters that it would have given without the cut,
bit for bit, on the same machine.
"""
from __future__ import annotations

import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import gluon, nd

from d2lzh_ext.files import written_aside
from d2lzh_ext.parameters import misfit, named_parameters, set_parameters

_FORMAT = "d2lzh_ext checkpoint 1"


class CheckpointError(ValueError):
    """A file is no checkpoint, or not one of this network and trainer."""


def _scalars(thing: object) -> dict[str, Any]:
    """Numbers among the attributes: of an optimizer, its step and rate."""
    return {name: value for name, value in vars(thing).items()
            if isinstance(value, (int, float))}


def _reseed() -> None:
    """Give MXNet's generator, whose state cannot be read, a new start."""
    mx.random.seed(int(np.random.randint(2**31 - 1)))


def _random_state() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of NumPy's and Python's generators: arrays, and what JSON holds."""
    kind, words, *rest = np.random.get_state()
    version, internal, gauss = random.getstate()
    return ({"random/numpy": words,
             "random/python": np.array(internal, np.int64)},
            {"numpy": [kind, *rest], "python": [version, gauss]})


def _restore_random(arrays: dict[str, Any], notes: dict[str, Any]) -> None:
    kind, *rest = notes["numpy"]
    np.random.set_state((kind, arrays["random/numpy"], *rest))
    version, gauss = notes["python"]
    random.setstate((version, tuple(arrays["random/python"].tolist()),
                     gauss))


def _trainer_state(trainer: gluon.Trainer
                   ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Momentum and the like of each parameter, and the optimizer's count."""
    optimizer, (updater, *others) = trainer.optimizer, trainer._updaters
    if others or trainer._update_on_kvstore:
        raise CheckpointError("Checkpoints are for training on one device.")
    arrays, form = {}, {}
    for i, state in updater.states.items():
        parts = state if isinstance(state, (list, tuple)) else [state]
        # How many arrays, and whether a tuple holds them.
        form[str(i)] = [isinstance(state, (list, tuple)),
                        [part is not None for part in parts]]
        arrays.update({f"state/{i}/{j}": part.asnumpy()
                       for j, part in enumerate(parts) if part is not None})
    return arrays, {
        "optimizer": type(optimizer).__name__,
        "scalars": _scalars(optimizer),
        "scheduler": (_scalars(optimizer.lr_scheduler)
                      if optimizer.lr_scheduler else {}),
        "counts": {str(i): count for i, count
                   in optimizer._index_update_count.items()},
        "form": form}


def _restore_trainer(trainer: gluon.Trainer, arrays: dict[str, Any],
                     notes: dict[str, Any]) -> None:
    optimizer, updater = trainer.optimizer, trainer._updaters[0]
    context = trainer._contexts[0]
    for i, (several, present) in notes["form"].items():
        parts = [nd.array(arrays[f"state/{i}/{j}"], ctx=context,
                          dtype=arrays[f"state/{i}/{j}"].dtype)
                 if there else None for j, there in enumerate(present)]
        updater.states[int(i)] = tuple(parts) if several else parts[0]
        updater.states_synced[int(i)] = True
    vars(optimizer).update(notes["scalars"])
    if optimizer.lr_scheduler:
        vars(optimizer.lr_scheduler).update(notes["scheduler"])
    optimizer._set_current_context(context.device_id)
    optimizer._index_update_count.update(
        {int(i): count for i, count in notes["counts"].items()})


def _write(path: Path, arrays: dict[str, Any]) -> None:
    """What np.savez writes; it leaves its archive open on a full disk."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(  # type: ignore[no-untyped-call,unused-ignore]
                    file, array, allow_pickle=False)


def save_checkpoint(path: str | os.PathLike[str], net: gluon.Block,
                    trainer: gluon.Trainer, notes: dict[str, Any]) -> None:
    """Save a run at the end of an epoch.

    The state of MXNet's random generator cannot be read. It is seeded anew
    here, by NumPy's, and `load_checkpoint` seeds it likewise.

    Args:
        path: The file; its folder is made. A file that is there is replaced
            in one step.
        net: The network; every parameter has its values.
        trainer: Its trainer, on one device.
        notes: What the caller needs to go on, as JSON can hold it.

    Raises:
        CheckpointError: The trainer works on several devices.
        OSError: The file cannot be written; one that was there is as it was.
    """
    random_arrays, random_notes = _random_state()
    trainer_arrays, trainer_notes = _trainer_state(trainer)
    arrays = {f"parameter/{name}": parameter.data().asnumpy()
              for name, parameter in named_parameters(net)}
    everything = json.dumps({
        "format": _FORMAT, "notes": notes, "random": random_notes,
        "trainer": trainer_notes})
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as part:
            _write(part, {
                "json": np.frombuffer(everything.encode(), np.uint8),
                **arrays, **trainer_arrays, **random_arrays})
    except OSError as error:
        raise OSError(
            error.errno, f"the checkpoint cannot be written "
            f"({error.strerror}); make room there or name another file. One "
            "of an earlier epoch is whole", str(path)) from None
    for left in path.parent.glob(f"{path.name}.*.part"):
        left.unlink()  # by a process that was killed while it wrote
    _reseed()


def load_checkpoint(path: str | os.PathLike[str], net: gluon.Block,
                    trainer: gluon.Trainer) -> dict[str, Any] | None:
    """Take a run up: set parameters, trainer and random generators.

    Args:
        path: What `save_checkpoint` wrote.
        net: An initialised network of the same structure.
        trainer: Its trainer, with the same optimizer.

    Returns:
        The notes given to `save_checkpoint`; None, and nothing is changed,
        if there is no such file.

    Raises:
        CheckpointError: The file is no checkpoint, is damaged, or is that
            of another network or optimizer; nothing is changed.
    """
    if not os.path.exists(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        everything = json.loads(arrays["json"].tobytes())
        if everything["format"] != _FORMAT:
            raise ValueError(f"its format is {everything['format']}")
    except (ValueError, KeyError, TypeError, OSError, EOFError,
            AttributeError, zipfile.BadZipFile) as error:
        raise _refusal(path, f"cannot be read as a checkpoint ({error})"
                       ) from None
    parameters = {name.partition("/")[2]: array
                  for name, array in arrays.items()
                  if name.startswith("parameter/")}
    _check_fits(path, net, trainer, parameters, everything)
    set_parameters(net, parameters)
    _restore_trainer(trainer, arrays, everything["trainer"])
    _restore_random(arrays, everything["random"])
    _reseed()
    notes: dict[str, Any] = everything["notes"]
    return notes


def _refusal(path: str | os.PathLike[str], what: str) -> CheckpointError:
    return CheckpointError(f"{os.fspath(path)} {what}. Name another file, or "
                           "delete it to start the run anew.")


def _check_fits(path: str | os.PathLike[str], net: gluon.Block,
                trainer: gluon.Trainer, arrays: dict[str, Any],
                everything: dict[str, Any]) -> None:
    difference = misfit(net, arrays)
    if difference:
        raise _refusal(path, f"is of another network: {difference}")
    optimizer = type(trainer.optimizer).__name__
    if everything["trainer"]["optimizer"] != optimizer:
        raise _refusal(path, "was trained with "
                       f"{everything['trainer']['optimizer']}, not with "
                       f"{optimizer}")
