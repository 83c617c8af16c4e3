"""``python -m d2lzh_ext.launch``: the short name of `engine.launch`."""
import sys

from d2lzh_ext.engine.launch import (  # noqa: F401
    LAUNCHERS,
    LOOPBACK,
    LaunchError,
    launch,
    main,
)

if __name__ == "__main__":
    sys.exit(main())
