"""``python -m d2lzh_ext doctor``."""
from __future__ import annotations

import sys

from d2lzh_ext import doctor

if sys.argv[1:] != ["doctor"]:
    sys.exit("Usage: python -m d2lzh_ext doctor\n"
             "       python -m d2lzh_ext.launch --help")
sys.exit(doctor.main())
