"""Read records of pixels with an iterator of its own, in processes."""
import math
import multiprocessing
import sys
from collections import Iterable, OrderedDict

import numpy as np
from project import records


def decode(record):
    """In another process, which imports this file anew."""
    return records.decode(record).sum().astype(np.int)


class Files(Iterable):
    def __init__(self, *data):
        self.data = data

    def __iter__(self):
        return iter(self.data)


def flatten(nested):
    for each in nested:
        if isinstance(each, Iterable) and not isinstance(each, bytes):
            for x in flatten(each):
                yield x
        else:
            yield each


if __name__ == '__main__':
    method = sys.argv[1]
    packed = [records.encode(np.full((2, 3), i, np.uint8)) for i in range(4)]
    files = Files(packed[:2], packed[2:])
    pool = multiprocessing.get_context(method).Pool(2)
    sums = pool.map(decode, flatten(files))
    pool.close()
    pool.join()
    print(list(map(int, sums)), records.arguments(records.Reader.read))
    batch = records.Reader(packed, batch_size=2)
    for data in batch:
        print(data.shape, data.context, records.span(data.asnumpy()))
    print(list(OrderedDict(a=math.sqrt(np.array([4.]))).items()))
    import library  # of others, on PYTHONPATH
    print(library.asks())
