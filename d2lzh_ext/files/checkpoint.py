"""Save a training run after each epoch, and take it up where it was cut.

A checkpoint is one NumPy archive: parameters, the trainer's state and
settings, the states of the random generators, and notes of the caller's.
What belongs to a parameter is kept under its place in the network, never
under a running number. It holds numbers and JSON only, so that reading one
runs no code of its author's. A run that is taken up gives the parameters
that it would have given without the cut, bit for bit, on the same machine.
"""
from __future__ import annotations

import copy
import json
import os
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import gluon, nd
from mxnet.lr_scheduler import LRScheduler

from d2lzh_ext.files.atomic import remove_leftovers, written_aside
from d2lzh_ext.files.parameters import misfit, named_parameters, set_parameters

_FORMAT = "d2lzh_ext checkpoint 2"
_FORMAT_1 = "d2lzh_ext checkpoint 1"
# Of an optimizer's attributes: those that training moves, and those that
# MXNet sets by itself.
_MOVING = ("num_update", "m_schedule", "last_lr", "cur_lr")
_MXNETS = ("rescale_grad", "aggregate_num", "allow_np_array", "sym_info",
           "lr_scheduler")
# What a reader sets of a parameter, and where it stands by itself.
_OF_A_PARAMETER = {"lr_mult": 1.0, "wd_mult": 1.0, "grad_req": "write"}

Settings = Iterator[tuple[str, Any, str]]  # name, object and attribute


class CheckpointError(ValueError):
    """A file is no checkpoint, or not one of this network and trainer."""


# --- the trainer ------------------------------------------------------------

def check_single_device(trainer: gluon.Trainer) -> None:
    """Refuse a trainer whose states no checkpoint can hold.

    All that it asks is known before the first step.

    Raises:
        CheckpointError: It works on several devices, or leaves its updates
            to a key-value store.
    """
    store = trainer._kvstore_params["kvstore"]
    on_store = trainer._kvstore_params["update_on_kvstore"]
    if trainer._kv_initialized:
        on_store = trainer._update_on_kvstore
    elif isinstance(store, str):
        on_store = "dist" in store
    elif store is not None:
        on_store = on_store is not False  # so MXNet does by itself
    if (len(trainer._contexts) > 1 or on_store
            or trainer._contains_sparse_weight):
        raise CheckpointError(
            "Checkpoints are for training on one device, without a "
            "key-value store that updates (kvstore=None).")


def _places(net: gluon.Block, trainer: gluon.Trainer) -> dict[str, int]:
    """Index of each of the trainer's parameters by its place in `net`."""
    place: dict[int, str] = {}
    for name, parameter in named_parameters(net):
        place.setdefault(id(parameter), name)
    for parameter in trainer._params:
        if id(parameter) not in place:
            raise CheckpointError(
                f"The trainer's parameter {parameter.name} is none that this "
                "network saves: make the trainer of net.collect_params().")
    return {place[id(parameter)]: i
            for i, parameter in enumerate(trainer._params)}


def _is_plain(value: Any) -> bool:
    """Whether JSON holds a value: a number, a word, a list of such."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str, type(None), np.generic))


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _schedule(scheduler: Any, name: str = "lr_scheduler") -> Settings:
    """Where a scheduler, and those inside it, keep their numbers."""
    if scheduler is None:
        return
    yield name, type(scheduler), "__name__"
    for attribute, value in vars(scheduler).items():
        inner = f"{name}.{attribute}"
        if _is_plain(value):
            yield inner, scheduler, attribute
        elif isinstance(value, LRScheduler):
            yield from _schedule(value, inner)
        elif isinstance(value, (list, tuple)):
            for i, each in enumerate(value):
                if isinstance(each, LRScheduler):
                    yield from _schedule(each, f"{inner}.{i}")


def _numbers(optimizer: Any) -> Settings:
    """Where an optimizer keeps what a reader can set."""
    for attribute, value in vars(optimizer).items():
        if _is_plain(value) and attribute not in (*_MOVING, *_MXNETS):
            yield ("learning_rate" if attribute == "lr" else attribute,
                   optimizer, attribute)


def _settings(trainer: gluon.Trainer, places: dict[str, int], scheduler: Any
              ) -> Settings:
    """All that a reader can set."""
    yield from _numbers(trainer.optimizer)
    yield "rescale_grad", trainer, "_scale"  # before the size of the batch
    yield from _schedule(scheduler)
    for place, i in places.items():
        for attribute in _OF_A_PARAMETER:
            yield f"{place}.{attribute}", trainer._params[i], attribute


def _get(values: dict[str, Any], name: str) -> Any:
    """A parameter's settings are left out where they are the usual."""
    return values.get(name, _OF_A_PARAMETER.get(name.rpartition(".")[2]))


def _values(settings: Settings) -> dict[str, Any]:
    values = {name: _plain(getattr(thing, attribute))
              for name, thing, attribute in settings}
    return {name: value for name, value in values.items()
            if value is None or value != _get({}, name)}


def _set(settings: Settings, values: dict[str, Any]) -> None:
    for name, thing, attribute in list(settings):
        value = _get(values, name)
        if _plain(getattr(thing, attribute)) != value:
            setattr(thing, attribute, value)


def _moved(scheduler: Any, first: int, last: int) -> Any:
    """A copy of `scheduler`, as it is after the updates up to `last`.

    It is asked for each, as in training: past its end, a schedule of
    MXNet's stays at the rate that it was last asked for.
    """
    scheduler = copy.deepcopy(scheduler)
    if scheduler is not None:
        for update in range(first, last + 1):
            scheduler(update)
    return scheduler


def hyperparameters(net: gluon.Block, trainer: gluon.Trainer
                    ) -> dict[str, Any]:
    """What a reader has set of a trainer, as names with JSON's values.

    These are the numbers, names and switches of the optimizer and of its
    scheduler (``lr_scheduler.step``; a scheduler's are those after
    `num_update` updates), and `lr_mult`, `wd_mult` and `grad_req` of each
    parameter by its place (``0.weight.lr_mult``) where they are not 1 and
    ``"write"``. What moves with every step is not among them.

    Raises:
        CheckpointError: The trainer has a parameter that is not `net`'s.
    """
    optimizer = trainer.optimizer
    now = optimizer.num_update
    return _values(_settings(trainer, _places(net, trainer),
                             _moved(optimizer.lr_scheduler, now, now)))


def _differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    differing = [name for name in {**there, **here}
                 if _get(here, name) != _get(there, name)]
    # Of two kinds of schedulers, the kinds are enough.
    return [f"{name} is {_get(here, name)} here and {_get(there, name)} in "
            "the file" for name in differing
            if not any(name.startswith(f"{other}.") for other in differing)]


def _check_settings(here: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Whether a file's settings can be set here."""
    mine, other = here.get("lr_scheduler"), theirs.get("lr_scheduler")
    if mine != other:
        raise CheckpointError(
            f"was saved with the scheduler {other}, and the trainer has "
            f"{mine}: give it one of that kind, or take settings=\"trainer\"")
    for name in here.keys() | theirs.keys():
        mine, other = _get(here, name), _get(theirs, name)
        words = {isinstance(value, (str, list)) for value in (mine, other)
                 if value is not None}
        known = (_get({}, name) is not None
                 or (name in here and name in theirs))
        if name.endswith(".grad_req"):
            known = other in ("write", "add", "null")
        if not known or not _is_plain(other) or len(words) > 1:
            raise ValueError(f"{name} is {other!r}")


def _chosen_settings(trainer: gluon.Trainer, places: dict[str, int],
                     notes: dict[str, Any], choice: str | None
                     ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare the trainer's settings with a file's.

    Returns:
        Those that `choice` asks for, and those with which the run begins in
        a new process.
    """
    scheduler = trainer.optimizer.lr_scheduler
    now, then = trainer.optimizer.num_update, notes["moving"]["num_update"]
    # A schedule moves. The one that is behind is moved on to the other; the
    # trainer's is ahead where its run was interrupted within an epoch.
    begin, here = (
        _values(_settings(trainer, places, _moved(scheduler, now, update)))
        for update in (now, max(now, then)))
    saved = notes["settings"]
    there = dict(saved)
    if now > then and here.get("lr_scheduler") == saved.get("lr_scheduler"):
        old = copy.deepcopy(scheduler)
        _set(_schedule(old), saved)
        there |= _values(_schedule(_moved(old, then, now)))
    differences = min(_differences(here, there),
                      _differences(begin, notes["begun"]), key=len)
    if differences and choice is None:
        if len(differences) > 5:
            differences[5:] = [f"and {len(differences) - 5} more"]
        raise CheckpointError(
            f"was saved with other settings: {'; '.join(differences)}. "
            "settings=\"file\" goes on with the file's, "
            "settings=\"trainer\" with those here")
    chosen, begun = ((here, begin) if choice == "trainer" else
                     (saved, notes["begun"]))
    _check_settings(here, chosen)
    return chosen, begun


# --- states -----------------------------------------------------------------

def _leaves(state: Any) -> list[Any]:
    """The arrays of an optimizer's state, and None where it has none."""
    if isinstance(state, (list, tuple)):
        return [leaf for part in state for leaf in _leaves(part)]
    if not isinstance(state, (nd.NDArray, type(None))):
        raise CheckpointError("The optimizer's states hold a "
                              f"{type(state).__name__}, which no checkpoint "
                              "can hold.")
    return [state]


def _trainer_state(net: gluon.Block, trainer: gluon.Trainer
                   ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Momentum and the like of each parameter, and the optimizer's count."""
    check_single_device(trainer)
    optimizer, states = trainer.optimizer, trainer._updaters[0].states
    all_counts = optimizer._all_index_update_counts.get(
        trainer._contexts[0].device_id, {})
    sums = getattr(optimizer, "cumgrads", {})  # LBSGD's, between updates
    places = _places(net, trainer)
    arrays, forms, gathered = {}, {}, {}
    for place, i in places.items():
        if i not in states:
            continue
        leaves = _leaves(states[i])
        if i in sums:
            gathered[place] = sums[i]["num_cums"]
            array = sums[i]["cum_grad"]  # 0 after an update
            leaves.append(array if isinstance(array, nd.NDArray) else None)
        forms[place] = [leaf is not None for leaf in leaves]
        arrays.update({f"state/{place}/{j}": leaf.asnumpy()
                       for j, leaf in enumerate(leaves) if leaf is not None})
    return arrays, {
        "counts": {place: all_counts[i] for place, i in places.items()
                   if i in all_counts},
        "states": forms, "gathered": gathered,
        "optimizer": type(optimizer).__name__, "places": list(places),
        "moving": {name: _plain(value) for name, value
                   in vars(optimizer).items() if name in _MOVING},
        "settings": hyperparameters(net, trainer)}


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _check_moving(optimizer: Any, moving: dict[str, Any]) -> None:
    if moving.keys() != vars(optimizer).keys() & set(_MOVING):
        raise ValueError(f"moving numbers {sorted(moving)}")
    _count(moving["num_update"])
    for name, value in moving.items():
        if value is not None and type(value) not in (int, float):
            raise ValueError(f"{name} is {value!r}")


def _form(leaves: list[Any]) -> list[Any]:
    return [leaf is not None and (leaf.shape, np.dtype(leaf.dtype))
            for leaf in leaves]


def _states(trainer: gluon.Trainer, optimizer: Any, index: dict[str, int],
            arrays: dict[str, Any], notes: dict[str, Any], anew: bool
            ) -> tuple[dict[int, Any], dict[int, Any]]:
    """Check and make a file's states, and LBSGD's sums, by `index`.

    Args:
        optimizer: With the settings that the run will have.
        anew: Where one side has no states (momentum 0), begin as a new run
            does.
    """
    states, gathered = {}, {}
    for place, form in notes["states"].items():
        i, values = index[place], arrays[f"parameter/{place}"]
        weight = nd.array(values, ctx=trainer._contexts[0],
                          dtype=values.dtype)
        states[i] = optimizer.create_state_multi_precision(i, weight)
        leaves = _leaves(states[i])
        if place in notes["gathered"]:
            leaves.append(weight.zeros_like() if form[-1] else None)
            gathered[i] = {
                "cum_grad": leaves[-1] if form[-1] else 0,
                "num_cums": _count(notes["gathered"][place])}
        here = _form(leaves)
        if anew and not (any(form) and any(here)):
            continue
        found = [arrays[f"state/{place}/{j}"] if there else None
                 for j, there in enumerate(form)]
        if _form(found) != here:
            raise CheckpointError(f"has a state of {place} that is none of "
                                  f"{type(optimizer).__name__} with these "
                                  "settings")
        for array, leaf in zip(found, leaves):
            if leaf is not None:
                leaf[:] = array
    return states, gathered


# --- random generators ------------------------------------------------------

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


def _check_random(arrays: dict[str, Any], notes: dict[str, Any]
                  ) -> tuple[Any, Any]:
    """The states that NumPy's and Python's generators take."""
    kind, place, *rest = notes["numpy"]
    version, gauss = notes["python"]
    if not 0 <= place <= 624 or not isinstance(gauss, (float, type(None))):
        raise ValueError("random states")  # neither library looks at these
    of_numpy = (kind, arrays["random/numpy"], place, *rest)
    of_python = (version, tuple(arrays["random/python"].tolist()), gauss)
    np.random.RandomState().set_state(of_numpy)
    random.Random().setstate(of_python)
    return of_numpy, of_python


# --- files ------------------------------------------------------------------

def _write(path: Path, arrays: dict[str, Any]) -> None:
    """What np.savez writes; it leaves its archive open on a full disk."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(  # type: ignore[no-untyped-call,unused-ignore]
                    file, array, allow_pickle=False)


def save_checkpoint(path: str | os.PathLike[str], net: gluon.Block,
                    trainer: gluon.Trainer, notes: dict[str, Any],
                    begun: dict[str, Any] | None = None) -> None:
    """Save a run at the end of an epoch.

    The state of MXNet's random generator cannot be read. It is seeded anew
    here, by NumPy's, and `load_checkpoint` seeds it likewise.

    Args:
        path: The file; its folder is made. A file that is there is replaced
            in one step.
        net: The network; every parameter has its values.
        trainer: Its trainer, on one device.
        notes: What the caller needs to go on, as JSON can hold it.
        begun: The `hyperparameters` with which the run began, if they have
            been changed since by hand: a new process begins with them. A
            scheduler's moves need none.

    Raises:
        CheckpointError: The trainer works on several devices, or has a
            parameter that is not `net`'s.
        OSError: The file cannot be written; one that was there is as it was.
    """
    trainer_arrays, trainer_notes = _trainer_state(net, trainer)
    trainer_notes["begun"] = begun or trainer_notes["settings"]
    random_arrays, random_notes = _random_state()
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
    remove_leftovers(path)
    _reseed()


def read_checkpoint(path: str | os.PathLike[str], net: gluon.Block,
                    trainer: gluon.Trainer, settings: str | None = None
                    ) -> tuple[dict[str, Any],
                               Callable[[], dict[str, Any]]] | None:
    """Read a checkpoint and check all of it; change nothing yet.

    Args:
        path, net, trainer, settings: As for `load_checkpoint`.

    Returns:
        The notes given to `save_checkpoint`, and a function that takes the
        run up and returns what `save_checkpoint` wants as `begun`. None if
        there is no such file.

    Raises:
        CheckpointError, ValueError: As `load_checkpoint`.
    """
    if settings not in (None, "file", "trainer"):
        raise ValueError(f"settings is {settings!r}, and can be \"file\", "
                         "\"trainer\" or None.")
    check_single_device(trainer)
    places = _places(net, trainer)
    if not os.path.exists(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        everything = json.loads(arrays.pop("json").tobytes())
        if everything["format"] not in (_FORMAT, _FORMAT_1):
            raise ValueError(f"its format is {everything['format']}")
        return everything["notes"], _to_restore(
            net, trainer, places, arrays, everything, settings)
    except CheckpointError as error:
        reason = str(error)
    except (ValueError, LookupError, TypeError, AttributeError, OSError,
            EOFError, OverflowError, zipfile.BadZipFile,
            mx.MXNetError) as error:
        reason = f"cannot be read as a checkpoint ({error})"
    raise CheckpointError(f"{os.fspath(path)} {reason}. Name another file, "
                          "or delete it to start the run anew.")


def _to_restore(net: gluon.Block, trainer: gluon.Trainer,
                places: dict[str, int], arrays: dict[str, Any],
                everything: dict[str, Any], choice: str | None
                ) -> Callable[[], dict[str, Any]]:
    """What takes the run up, once all of it is known to fit."""
    parameters = {name.removeprefix("parameter/"): array for name, array
                  in arrays.items() if name.startswith("parameter/")}
    difference = misfit(net, parameters)
    if difference:
        raise CheckpointError(f"is of another network: {difference}")
    notes, own = everything["trainer"], trainer.optimizer
    if notes["optimizer"] != type(own).__name__:
        raise CheckpointError(f"was trained with {notes['optimizer']}, not "
                              f"with {type(own).__name__}")
    if everything["format"] == _FORMAT_1:
        arrays, notes = _of_format_1(arrays, notes, trainer, places)
    for place in sorted(places.keys() ^ set(notes["places"])):
        raise CheckpointError(
            "is of a trainer of other parameters: only "
            f"{'this one' if place in places else 'that one'} has {place}")
    # Updated in the order of the saved run, parameters get the same random
    # noise (SGLD) and momentum (Nadam). A store or names would hold to this
    # trainer's order.
    order = list(places if trainer._kvstore or own.idx2name
                 else notes["places"])
    if len(order) != len(places):
        raise ValueError("a place is named twice")
    ordered = [trainer._params[places[place]] for place in order]
    index = {place: i for i, place in enumerate(order)}
    _check_moving(own, notes["moving"])
    settings, begun = _chosen_settings(trainer, places, notes, choice)
    new = copy.copy(own)
    _set(_numbers(new), settings)
    states, gathered = _states(trainer, new, index, arrays, notes,
                               choice == "trainer")
    counts = {index[place]: _count(count)
              for place, count in notes["counts"].items()}
    of_numpy, of_python = _check_random(arrays, everything["random"])

    def restore() -> dict[str, Any]:
        _set(_settings(trainer, places, own.lr_scheduler), settings)
        set_parameters(net, parameters)
        trainer._params = ordered
        trainer._param2idx = {parameter.name: i for i, parameter
                              in enumerate(ordered)}
        own.param_dict = dict(enumerate(ordered))
        updater = trainer._updaters[0]
        updater.states = states
        updater.states_synced = dict.fromkeys(states, True)
        own._set_current_context(trainer._contexts[0].device_id)
        own._index_update_count.clear()
        own._index_update_count.update(counts)
        if hasattr(own, "cumgrads"):
            own.cumgrads = gathered
        vars(own).update(notes["moving"])
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        _reseed()
        return begun
    return restore


def load_checkpoint(path: str | os.PathLike[str], net: gluon.Block,
                    trainer: gluon.Trainer, settings: str | None = None
                    ) -> dict[str, Any] | None:
    """Take a run up: set parameters, trainer and random generators.

    Args:
        path: What `save_checkpoint` wrote.
        net: An initialised network of the same structure.
        trainer: Its trainer, with the same optimizer.
        settings: What to do where the trainer's `hyperparameters` are not
            the run's. ``"file"`` sets them as the file has them;
            ``"trainer"`` goes on with the trainer's, a new schedule from
            the number of updates in the file; None refuses.

    Returns:
        The notes given to `save_checkpoint`; None, and nothing is changed,
        if there is no such file.

    Raises:
        CheckpointError: The file is no checkpoint, is damaged, or is that
            of another network, trainer or run; nothing is changed.
        ValueError: `settings` is something else.
    """
    saved = read_checkpoint(path, net, trainer, settings)
    if saved is None:
        return None
    notes, restore = saved
    restore()
    return notes


# --- files of format 1 ------------------------------------------------------

def _order_is_certain(name: str, other: str) -> bool:
    """Whether two names sort alike, however layers were counted."""
    pairs = zip(*(re.findall(r"\d+|\D+", each) for each in (name, other)))
    one, two = next(((one, two) for one, two in pairs if one != two),
                    ("", ""))
    return not (one.isdigit() and two.isdigit())


def _places_of_format_1(old: dict[str, Any], arrays: dict[str, Any],
                        trainer: gluon.Trainer, places: dict[str, int]
                        ) -> dict[str, str]:
    """Places by the trainer's indices, where these are certain.

    Gluon sorts parameters by name as text, conv10 before conv8, and how far
    the layers were counted in that process is not known.
    """
    names = [parameter.name for parameter in trainer._params]
    listed = names != sorted(names)  # made of a list, in the reader's order
    updated = [place for place, i in places.items()
               if trainer._params[i].grad_req != "null"]
    shapes = {name.split("/")[1]: array.shape for name, array
              in arrays.items() if name.startswith("state/")}
    indices = sorted(old["counts"].keys() | shapes.keys(), key=int)
    if indices and len(indices) != len(updated):
        raise CheckpointError(
            f"is of a trainer that updated {len(indices)} parameters; this "
            f"one has {len(updated)}")
    if not shapes and len(set(old["counts"].values())) <= 1:
        return dict(zip(indices, updated))  # whichever: all are alike
    found: dict[str, str] = {}
    for i in indices:
        fitting = [place for place in updated if len(shapes) < len(indices)
                   or arrays[f"parameter/{place}"].shape == shapes[i]]
        if not fitting:
            raise CheckpointError("has states of other shapes than this "
                                  "trainer's parameters")
        one, *others = (names[places[place]] for place in fitting)
        for two in others:
            if not (listed or _order_is_certain(one, two)):
                raise CheckpointError(
                    "was written by an earlier version, which kept states "
                    "in the order of MXNet's names of layers: whether "
                    f"{one} or {two} came first then cannot be told")
        found[i] = fitting[0]
        updated.remove(fitting[0])
    return found


def _of_format_1(arrays: dict[str, Any], old: dict[str, Any],
                 trainer: gluon.Trainer, places: dict[str, int]
                 ) -> tuple[dict[str, Any], dict[str, Any]]:
    """A trainer's arrays and notes of format 1 as those of format 2.

    It kept numbers only, at the end of the run, and no scheduler's class.
    What it does not tell is taken to be as it is here.
    """
    place = _places_of_format_1(old, arrays, trainer, places)
    optimizer, scheduler = trainer.optimizer, trainer.optimizer.lr_scheduler
    settings = _values(_settings(trainer, places, scheduler))
    kept = {id(optimizer): old["scalars"], id(scheduler): old["scheduler"]}
    for name, thing, attribute in _settings(trainer, places, scheduler):
        numbers = kept.get(id(thing), {})
        if attribute in numbers or (
                id(thing) in kept
                and isinstance(settings[name], (int, float))):
            settings[name] = numbers.get(attribute)
    if not old["scheduler"]:
        settings = {name: value for name, value in settings.items()
                    if not name.startswith("lr_scheduler")}
    elif not (scheduler and old["scheduler"].keys() <= vars(scheduler).keys()):
        settings["lr_scheduler"] = "another"
    renamed = {
        re.sub("^state/([0-9]+)", lambda i: f"state/{place[str(i[1])]}", name):
        array for name, array in arrays.items()}
    return renamed, {
        "places": list(places),
        "states": {place[i]: form[1] for i, form in old["form"].items()},
        "counts": {place[i]: count for i, count in old["counts"].items()},
        "gathered": {}, "settings": settings, "begun": settings,
        "moving": {name: old["scalars"].get(name) for name in _MOVING
                   if name in vars(optimizer)}}
