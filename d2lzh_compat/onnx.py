"""The two tables of `onnx.mapping`, which today's onnx no longer has."""
from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper

if hasattr(helper, "tensor_dtype_to_np_dtype"):
    TENSOR_TYPE_TO_NP_TYPE: dict[int, Any] = {
        kind: helper.tensor_dtype_to_np_dtype(kind)
        for kind in sorted(TensorProto.DataType.values())
        if kind != TensorProto.UNDEFINED}
else:  # before onnx 1.13
    from onnx import mapping
    TENSOR_TYPE_TO_NP_TYPE = mapping.TENSOR_TYPE_TO_NP_TYPE
# Some kinds share a dtype (float32 is FLOAT, and may be BFLOAT16): the first
# has it.
NP_TYPE_TO_TENSOR_TYPE: dict[np.dtype[Any], int] = {
    dtype: kind for kind, dtype in reversed(TENSOR_TYPE_TO_NP_TYPE.items())}
