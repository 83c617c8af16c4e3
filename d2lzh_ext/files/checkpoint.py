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
from collections import defaultdict
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


def _plain(value: Any) -> Any:
    """As JSON gives it back; TypeError for what JSON does not hold."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, (bool, int, float, str, type(None))):
        raise TypeError(f"{type(value).__name__} is no number")
    return value


def _is_plain(value: Any) -> bool:
    try:
        _plain(value)
    except TypeError:
        return False
    return True


def _schedule(scheduler: Any, name: str) -> Iterator[tuple[str, Any, str]]:
    """Where a scheduler, and those inside it, keep their numbers."""
    if scheduler is None:
        return
    yield name, type(scheduler), "__name__"
    for attribute, value in getattr(scheduler, "__dict__", {}).items():
        inner = f"{name}.{attribute}"
        if _is_plain(value):
            yield inner, scheduler, attribute
        elif isinstance(value, LRScheduler):
            yield from _schedule(value, inner)
        elif isinstance(value, (list, tuple)):
            for i, each in enumerate(value):
                if isinstance(each, LRScheduler):
                    yield from _schedule(each, f"{inner}.{i}")


def _numbers(optimizer: Any) -> Iterator[tuple[str, Any, str]]:
    """Where an optimizer keeps what a reader can set."""
    for attribute, value in vars(optimizer).items():
        if _is_plain(value) and attribute not in (*_MOVING, *_MXNETS):
            yield ("learning_rate" if attribute == "lr" else attribute,
                   optimizer, attribute)


def _slots(trainer: gluon.Trainer, places: dict[str, int], scheduler: Any
           ) -> Iterator[tuple[str, Any, str]]:
    """(name, object, attribute) of all that a reader can set."""
    yield from _numbers(trainer.optimizer)
    yield "rescale_grad", trainer, "_scale"  # before the size of the batch
    yield from _schedule(scheduler, "lr_scheduler")
    for place, i in places.items():
        for attribute in _OF_A_PARAMETER:
            yield f"{place}.{attribute}", trainer._params[i], attribute


def _default(name: str) -> Any:
    return _OF_A_PARAMETER.get(name.rpartition(".")[2])


def _values(slots: Iterator[tuple[str, Any, str]]) -> dict[str, Any]:
    values = {name: _plain(getattr(thing, attribute))
              for name, thing, attribute in slots}
    return {name: value for name, value in values.items()
            if _default(name) is None or value != _default(name)}


def _moved(scheduler: Any, first: int, last: int) -> Any:
    """A copy of `scheduler`, as it is after the updates up to `last`.

    It is asked for each, as in training: past its end, a schedule of
    MXNet's stays at the rate that it was last asked for.
    """
    scheduler = copy.deepcopy(scheduler)
    for update in range(first, last + 1) if scheduler is not None else ():
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
    return _values(_slots(trainer, _places(net, trainer),
                          _moved(optimizer.lr_scheduler, now, now)))


def _differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    differing = [name for name in {**there, **here}
                 if here.get(name, _default(name))
                 != there.get(name, _default(name))]
    # Of two kinds of schedulers, the kinds are enough.
    differing = [name for name in differing
                 if not any(name.startswith(f"{other}.")
                            for other in differing)]
    return [f"{name} is {here.get(name, _default(name))} here and "
            f"{there.get(name, _default(name))} in the file"
            for name in differing]


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
    optimizer, updater = trainer.optimizer, trainer._updaters[0]
    counts = optimizer._all_index_update_counts.get(
        trainer._contexts[0].device_id, {})
    gathered = getattr(optimizer, "cumgrads", {})  # LBSGD's, between updates
    arrays, notes = {}, defaultdict[str, Any](dict)
    places = _places(net, trainer)
    for place, i in places.items():
        if i in counts:
            notes["counts"][place] = counts[i]
        if i not in updater.states:
            continue
        leaves = _leaves(updater.states[i])
        if i in gathered:
            notes["gathered"][place] = gathered[i]["num_cums"]
            sums = gathered[i]["cum_grad"]  # 0 after an update
            leaves.append(sums if isinstance(sums, nd.NDArray) else None)
        notes["states"][place] = [leaf is not None for leaf in leaves]
        arrays.update({f"state/{place}/{j}": leaf.asnumpy()
                       for j, leaf in enumerate(leaves) if leaf is not None})
    return arrays, {
        "counts": {}, "states": {}, "gathered": {}, **notes,
        "optimizer": type(optimizer).__name__, "places": list(places),
        "moving": {name: _plain(value) for name, value
                   in vars(optimizer).items() if name in _MOVING},
        "settings": hyperparameters(net, trainer)}


def _states_to_restore(trainer: gluon.Trainer, optimizer: Any,
                       index: dict[str, int], arrays: dict[str, Any],
                       notes: dict[str, Any], anew: bool
                       ) -> Callable[[], None]:
    """Check all states of a file, and make them.

    Args:
        optimizer: With the settings that the run will have.
        index: The trainer's, by place.
        anew: Where one side has no states (momentum 0), begin as a new run
            does.
    """
    context = trainer._contexts[0]
    states, gathered = {}, {}
    for place, form in notes["states"].items():
        i, values = index[place], arrays[f"parameter/{place}"]
        weight = nd.array(values, ctx=context, dtype=values.dtype)
        states[i] = optimizer.create_state_multi_precision(i, weight)
        leaves = _leaves(states[i])
        if place in notes["gathered"]:
            leaves.append(weight.zeros_like() if form[-1] else None)
            gathered[i] = {
                "cum_grad": leaves[-1] if form[-1] else 0,
                "num_cums": _count(notes["gathered"][place])}
        here = [leaf is not None for leaf in leaves]
        if anew and not (any(form) and any(here)):
            continue
        found = [arrays[f"state/{place}/{j}"]
                 for j, there in enumerate(form) if there]
        own = [leaf for leaf in leaves if leaf is not None]
        if form != here or any(
                array.shape != leaf.shape or array.dtype != leaf.dtype
                for array, leaf in zip(found, own)):
            raise CheckpointError(f"has a state of {place} that is none of "
                                  f"{type(optimizer).__name__} with these "
                                  "settings")
        for array, leaf in zip(found, own):
            leaf[:] = array
    counts = {index[place]: _count(count)
              for place, count in notes["counts"].items()}

    def restore() -> None:
        updater = trainer._updaters[0]
        updater.states = states
        updater.states_synced = dict.fromkeys(states, True)
        own = trainer.optimizer
        own._set_current_context(context.device_id)
        own._index_update_count.clear()
        own._index_update_count.update(counts)
        if hasattr(own, "cumgrads"):
            own.cumgrads = gathered
    return restore


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _moving_to_restore(trainer: gluon.Trainer, moving: dict[str, Any]
                       ) -> Callable[[], None]:
    own = vars(trainer.optimizer)
    if moving.keys() != own.keys() & set(_MOVING):
        raise ValueError(f"moving numbers {sorted(moving)}")
    _count(moving["num_update"])
    for name, value in moving.items():
        if value is not None and type(value) not in (int, float):
            raise ValueError(f"{name} is {value!r}")
    return lambda: own.update(moving)


# --- settings ---------------------------------------------------------------

def _set(slots: Iterator[tuple[str, Any, str]], values: dict[str, Any]
         ) -> None:
    for name, thing, attribute in list(slots):
        value = values.get(name, _default(name))
        if _plain(getattr(thing, attribute)) != value:
            setattr(thing, attribute, value)


def _check_settings(here: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Whether a file's settings can be set here."""
    mine, other = (each.get("lr_scheduler") for each in (here, theirs))
    if mine != other:
        raise CheckpointError(
            f"was saved with the scheduler {other}, and the trainer has "
            f"{mine}: give it one of that kind, or take settings=\"trainer\"")
    for name in here.keys() | theirs.keys():
        mine, other = (each.get(name, _default(name))
                       for each in (here, theirs))
        words = [isinstance(value, (str, list)) for value in (mine, other)
                 if value is not None]
        known = _default(name) is not None or (name in here
                                               and name in theirs)
        if name.endswith(".grad_req"):
            known = other in ("write", "add", "null")
        if not known or not _is_plain(other) or len(set(words)) > 1:
            raise ValueError(f"{name} is {other!r}")


def _settings_to_restore(trainer: gluon.Trainer, places: dict[str, int],
                         notes: dict[str, Any], choice: str | None
                         ) -> tuple[Callable[[], None], dict[str, Any], Any]:
    """Compare the trainer's settings with a file's.

    Returns:
        What sets those that `choice` asks for; those with which the run
        begins in a new process; a copy of the optimizer with those that it
        will have.
    """
    optimizer, scheduler = trainer.optimizer, trainer.optimizer.lr_scheduler
    now, then = optimizer.num_update, notes["moving"]["num_update"]
    begin = _values(_slots(trainer, places, _moved(scheduler, now, now)))
    saved = notes["settings"]
    # A schedule moves. The one that is behind is moved on to the other; the
    # trainer's is ahead where its run was interrupted within an epoch.
    here = _values(_slots(trainer, places,
                          _moved(scheduler, now, max(now, then))))
    there = dict(saved)
    if now > then and here.get("lr_scheduler") == saved.get("lr_scheduler"):
        old = copy.deepcopy(scheduler)
        _set(_schedule(old, "lr_scheduler"), saved)
        there |= _values(_schedule(_moved(old, then, now), "lr_scheduler"))
    differences = min(_differences(here, there),
                      _differences(begin, notes["begun"]), key=len)
    if differences and choice is None:
        if len(differences) > 5:
            differences[5:] = [f"and {len(differences) - 5} more"]
        raise CheckpointError(
            f"was saved with other settings: {'; '.join(differences)}. "
            "settings=\"file\" goes on with the file's, "
            "settings=\"trainer\" with those here")
    new = copy.copy(optimizer)
    if choice == "trainer":
        return (lambda: _set(_schedule(scheduler, "lr_scheduler"), here),
                begin, new)
    _check_settings(here, saved)
    _set(_numbers(new), saved)
    return (lambda: _set(_slots(trainer, places, scheduler), saved),
            notes["begun"], new)


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


def _random_to_restore(arrays: dict[str, Any], notes: dict[str, Any]
                       ) -> Callable[[], None]:
    kind, place, *rest = notes["numpy"]
    version, gauss = notes["python"]
    if not 0 <= place <= 624 or not isinstance(gauss, (float, type(None))):
        raise ValueError("random states")  # neither library looks at these
    of_numpy = (kind, arrays["random/numpy"], place, *rest)
    of_python = (version, tuple(arrays["random/python"].tolist()), gauss)
    np.random.RandomState().set_state(of_numpy)
    random.Random().setstate(of_python)

    def restore() -> None:
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        _reseed()
    return restore


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
    parameters = {name.partition("/")[2]: array
                  for name, array in arrays.items()
                  if name.startswith("parameter/")}
    difference = misfit(net, parameters)
    if difference:
        raise CheckpointError(f"is of another network: {difference}")
    notes = everything["trainer"]
    optimizer = type(trainer.optimizer).__name__
    if notes["optimizer"] != optimizer:
        raise CheckpointError(f"was trained with {notes['optimizer']}, not "
                              f"with {optimizer}")
    if everything["format"] == _FORMAT_1:
        arrays, notes = _of_format_1(arrays, notes, trainer, places)
    for place in sorted(places.keys() ^ set(notes["places"])):
        raise CheckpointError(
            "is of a trainer of other parameters: only "
            f"{'this one' if place in places else 'that one'} has {place}")
    # Updated in the order of the saved run, parameters get the same random
    # noise (SGLD) and momentum (Nadam). A store or names would hold to this
    # trainer's order.
    own = trainer.optimizer
    order = list(places if trainer._kvstore or own.idx2name
                 else notes["places"])
    if len(order) != len(places):
        raise ValueError("a place is named twice")
    ordered = [trainer._params[places[place]] for place in order]
    index = {place: i for i, place in enumerate(order)}
    moving = _moving_to_restore(trainer, notes["moving"])
    set_settings, begun, new = _settings_to_restore(trainer, places, notes,
                                                    choice)
    states = _states_to_restore(trainer, new, index, arrays, notes,
                                choice == "trainer")
    generators = _random_to_restore(arrays, everything["random"])

    def restore() -> dict[str, Any]:
        set_settings()
        set_parameters(net, parameters)
        trainer._params = ordered
        trainer._param2idx = {parameter.name: i for i, parameter
                              in enumerate(ordered)}
        own.param_dict = dict(enumerate(ordered))
        states()
        moving()
        generators()
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

def _ordered(name: str, other: str) -> bool:
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
    here, there = defaultdict(list), defaultdict(list)
    updated = [place for place, i in places.items()
               if trainer._params[i].grad_req != "null"]
    indices = sorted(old["counts"].keys() | old["form"].keys(), key=int)
    shapes = [next((arrays[f"state/{i}/{j}"].shape for j, there in
                    enumerate(old["form"].get(i, [0, []])[1]) if there), None)
              for i in indices]
    if indices and len(indices) != len(updated):
        raise CheckpointError(
            f"is of a trainer that updated {len(indices)} parameters; this "
            f"one has {len(updated)}")
    if not any(shapes) and len(set(old["counts"].values())) <= 1:
        return dict(zip(indices, updated))  # whichever: all are alike
    told = None not in shapes
    for place in updated if indices else ():
        shape = arrays[f"parameter/{place}"].shape
        here[shape if told else None].append(place)
    for i, shape in zip(indices, shapes):
        there[shape if told else None].append(i)
    found: dict[str, str] = {}
    for shape, group in here.items():
        if len(group) != len(there[shape]):
            raise CheckpointError("has states of other shapes than this "
                                  "trainer's parameters")
        for k, place in enumerate(group):
            for other in group[:k]:
                one, two = (names[places[each]] for each in (other, place))
                if not (listed or _ordered(one, two)):
                    raise CheckpointError(
                        "was written by an earlier version, which kept "
                        "states in the order of MXNet's names of layers: "
                        f"whether {one} or {two} came first then cannot be "
                        "told")
        found.update(zip(there[shape], group))
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
    settings = _values(_slots(trainer, places, scheduler))
    kept = {id(optimizer): old["scalars"], id(scheduler): old["scheduler"]}
    for name, thing, attribute in _slots(trainer, places, scheduler):
        numbers = kept.get(id(thing), {})
        if attribute in numbers:
            settings[name] = numbers[attribute]
        elif id(thing) in kept and isinstance(settings[name], (int, float)):
            settings[name] = None
    if not old["scheduler"].keys() <= getattr(scheduler, "__dict__", {}
                                              ).keys():
        settings["lr_scheduler"] = "another"
    elif not old["scheduler"]:
        settings = {name: value for name, value in settings.items()
                    if not name.startswith("lr_scheduler")}
    renamed = {}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        i, _, part = rest.partition("/")
        renamed[f"state/{place[i]}/{part}" if kind == "state" else name
                ] = array
    return renamed, {
        "places": list(places),
        "states": {place[i]: form[1] for i, form in old["form"].items()},
        "counts": {place[i]: count for i, count in old["counts"].items()},
        "gathered": {}, "settings": settings, "begun": settings,
        "moving": {name: old["scalars"].get(name) for name in _MOVING
                   if name in vars(optimizer)}}
