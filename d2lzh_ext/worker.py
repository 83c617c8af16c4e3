"""``python -m d2lzh_ext.worker``: the old name of `engine.worker`."""
from d2lzh_ext.engine.worker import main

if __name__ == "__main__":
    main()
