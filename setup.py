"""What pyproject.toml cannot say: files that the wheel takes elsewhere.

d2lzh_compat.pth and d2lzh_compat.start go beside the packages, where Python
reads one of them when it starts (see d2lzh_compat/finder.py): the second since
3.15, which calls the import lines of the first deprecated. The recorded
results go into the package d2lzh_ext.
"""
from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

STARTS = ["d2lzh_compat.pth", "d2lzh_compat.start"]
RESULTS = sorted(map(str, Path("data", "results").glob("*.json")))


class BuildWithFiles(build_py):
    def run(self) -> None:
        super().run()
        # An editable installation has nothing but links in build_lib.
        if self.editable_mode:
            install = self.get_finalized_command("install")
            for path in STARTS:
                self.copy_file(path, install.install_lib)
            return
        for path in STARTS:
            self.copy_file(path, self.build_lib)
        recorded = Path(self.build_lib, "d2lzh_ext", "recorded")
        self.mkpath(str(recorded))
        for path in RESULTS:
            self.copy_file(path, str(recorded))

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *STARTS, *RESULTS]


setup(cmdclass={"build_py": BuildWithFiles})
