"""An error in an operator written in Python is what the reader sees last."""
from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from interpreter import run
from mxnet import autograd, gluon, nd

FAILING = ""  # the method that fails


def fail(method: str) -> None:
    if method == FAILING:
        raise ZeroDivisionError(f"no {method}")


class Scale(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        fail("forward")
        self.assign(out_data[0], req[0], in_data[0] * 2)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        fail("backward")
        self.assign(in_grad[0], req[0], out_grad[0] * 2)


@mx.operator.register("scale_for_test")
class ScaleProp(mx.operator.CustomOpProp):
    def __init__(self):
        fail("init")
        super().__init__(need_top_grad=True)

    def create_operator(self, *context):
        fail("create_operator")
        return Scale()


# Those that it inherits.
METHODS = ["list_arguments", "list_outputs", "list_auxiliary_states",
           "infer_shape", "infer_type", "infer_storage_type",
           "infer_storage_type_backward", "declare_backward_dependency"]
for name in METHODS:
    def method(self, *args, name=name):
        fail(name)
        return getattr(super(ScaleProp, self), name)(*args)

    setattr(ScaleProp, name, method)


class Twice(autograd.Function):
    def forward(self, x):
        return x * 2

    def backward(self, grad):
        fail("Function")
        return grad * 2


class Block(gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.Custom(x, op_type="scale_for_test") + 1


def by_call(x):
    return nd.Custom(x, op_type="scale_for_test")


def hybridized(x):
    block = Block()
    block.hybridize()
    return block(x)


def through_module(x):
    symbol = mx.sym.Custom(mx.sym.Variable("data"), op_type="scale_for_test")
    module = mx.mod.Module(symbol, label_names=None)
    module.bind([("data", x.shape)], inputs_need_grad=True)
    module.init_params()
    module.forward(mx.io.DataBatch([x]), is_train=True)
    module.backward([nd.ones(x.shape)])
    return module.get_input_grads()[0]


def gradient(function: Callable) -> Callable:
    def compute(x):
        x.attach_grad()
        with autograd.record():
            y = function(x)
        y.backward()
        return x.grad

    return compute


def check(error: BaseException, method: str) -> None:
    if type(error) is RuntimeError:  # with which Module.bind repeats it
        assert str(error).endswith(str(error.__context__))
        error = error.__context__
    assert type(error) is mx.MXNetError
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert str(error).endswith(f":\nZeroDivisionError: no {method}")
    assert f"{Path(__file__).name}:" in str(error)  # and the line


@pytest.fixture
def failing(monkeypatch):
    return lambda method: monkeypatch.setitem(globals(), "FAILING", method)


@pytest.mark.parametrize("method", [
    "forward", "backward", "init", "create_operator", *METHODS])
@pytest.mark.parametrize("way", [by_call, hybridized, through_module])
def test_the_last_line_is_the_error(failing, method, way):
    compute = way if way is through_module else gradient(way)
    np.testing.assert_array_equal(compute(nd.ones(2)).asnumpy(), 2)
    failing(method)
    with pytest.raises((mx.MXNetError, RuntimeError)) as caught:
        compute(nd.ones(2)).wait_to_read()
    check(caught.value, method)
    failing("")
    np.testing.assert_array_equal(compute(nd.ones(2)).asnumpy(), 2)


def test_function(failing):
    failing("Function")
    compute = gradient(lambda x: Twice()(x))
    with pytest.raises(mx.MXNetError) as caught:
        compute(nd.ones(2)).asnumpy()
    check(caught.value, "Function")
    assert "in Function.backward" in str(caught.value)


@pytest.mark.parametrize("read", [
    nd.NDArray.asnumpy, nd.NDArray.asscalar, nd.NDArray.wait_to_read,
    lambda y: nd.waitall(), lambda y: (y + 1).asnumpy()])
def test_wherever_it_is_read(failing, read):
    failing("forward")
    with pytest.raises(mx.MXNetError) as caught:
        read(by_call(nd.ones(1)))
    check(caught.value, "forward")


@pytest.fixture
def none_left():
    yield
    with contextlib.suppress(mx.MXNetError):
        nd.waitall()  # else it is raised when Python ends


@pytest.mark.usefixtures("none_left")
def test_no_other_error_gets_it(failing):
    failing("forward")
    by_call(nd.ones(2))  # which nobody reads
    nd.zeros(1).wait_to_read()
    with pytest.raises(mx.MXNetError) as caught:
        nd.dot(nd.ones((2, 3)), nd.ones((2, 3))).asnumpy()
    assert caught.value.__cause__ is None
    assert "ZeroDivisionError" not in str(caught.value)
    failing("backward")
    with pytest.raises(mx.MXNetError) as caught:
        gradient(by_call)(nd.ones(2)).asnumpy()
    check(caught.value, "backward")


class Says(mx.operator.CustomOp):
    def __init__(self, text):
        super().__init__()
        self.text = text

    def forward(self, *args, **kwargs):
        raise ValueError(self.text)


@mx.operator.register("says_for_test")
class SaysProp(mx.operator.CustomOpProp):
    def __init__(self, text):
        super().__init__()
        self.create_operator = lambda *context: Says(text)


@pytest.fixture
def says(monkeypatch):
    """Calls an operator that fails with a text, and lets it fail."""
    printed = threading.Semaphore(0)  # as often as MXNet prints an error
    monkeypatch.setattr("builtins.print", lambda *args: printed.release())

    def call(text):
        result = nd.Custom(nd.ones(1), op_type="says_for_test", text=text)
        assert printed.acquire(timeout=60)
        return result

    return call


@pytest.mark.usefixtures("none_left")
def test_a_later_error_is_its_own(says):
    for text in "abcdefgh":
        says("unread")
        with pytest.raises(mx.MXNetError, match=f"ValueError: {text}$"):
            says(text).asnumpy()


def test_errors_that_wait_together_are_all_named(says):
    """MXNet does not say which of them a result is of."""
    for result in [says(text) for text in "abc"][::-1]:
        with pytest.raises(mx.MXNetError) as caught:
            result.asnumpy()
        assert [*re.findall("ValueError: (.)", str(caught.value))] == [
            "a", "b", "c"]
        assert caught.value.__cause__ is None
    with pytest.raises(mx.MXNetError) as caught:
        says("d").asnumpy()
    assert str(caught.value.__cause__) == "d"


PROGRAM = """
import mxnet as mx

class Softmax(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        raise ValueError("no softmax")

@mx.operator.register("softmax_for_test")
class SoftmaxProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, types):
        return Softmax()

y = mx.nd.Custom(mx.nd.ones(2), op_type="softmax_for_test")
print(y.asnumpy())
"""


@pytest.mark.parametrize("engine", ["NaiveEngine", "ThreadedEngine"])
def test_as_the_reader_sees_it(engine):
    done = run(PROGRAM, MXNET_ENGINE_TYPE=engine)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "The error behind it, in CustomOp.forward, <string>:6:",
        "ValueError: no softmax"]
    assert "The above exception was the direct cause" in done.stderr


PENDING = """
import time

import mxnet as mx

class Slow(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        time.sleep(0.3)
        self.assign(out_data[0], req[0], in_data[0] + 1)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        time.sleep(0.3)
        self.assign(in_grad[0], req[0], in_data[0] + 1)
        print("done", flush=True)

@mx.operator.register("slow_for_test")
class SlowProp(mx.operator.CustomOpProp):
    def create_operator(self, ctx, shapes, types):
        return Slow()

x = mx.nd.ones(2)
x.attach_grad()
with mx.autograd.record():
    y = mx.nd.Custom(x, op_type="slow_for_test")
    y = mx.nd.Custom(y, op_type="slow_for_test")
y.backward()
"""


def test_the_end_waits_for_operators():
    """It stopped in the middle, or for ever."""
    done = run(PENDING)
    assert (done.returncode, done.stdout) == (0, "done\ndone\n"), done.stderr


@pytest.mark.parametrize("ours", ["", "class F(mx.autograd.Function): pass"])
def test_the_end_of_other_programs_does_not_wait(ours):
    done = run(f"import mxnet as mx\n{ours}\n"
               "mx.nd.linalg.potrf(-mx.nd.ones((1, 1)))")
    assert done.returncode == 0
    assert ("MXNetError" in done.stderr) is bool(ours)  # for which it waited
