"""What pyproject.toml cannot say: files that the wheel takes elsewhere.

d2lzh_ext.pth goes beside the package, where Python reads it when it starts
(see d2lzh_hook.py); the recorded results go into the package.
"""
from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PTH = "d2lzh_ext.pth"
RESULTS = sorted(map(str, Path("data", "results").glob("*.json")))


class BuildWithFiles(build_py):
    def run(self) -> None:
        super().run()
        # An editable installation has nothing but links in build_lib.
        if self.editable_mode:
            install = self.get_finalized_command("install")
            self.copy_file(PTH, install.install_lib)
            return
        self.copy_file(PTH, self.build_lib)
        recorded = Path(self.build_lib, "d2lzh_ext", "recorded")
        self.mkpath(str(recorded))
        for path in RESULTS:
            self.copy_file(path, str(recorded))

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), PTH, *RESULTS]


setup(cmdclass={"build_py": BuildWithFiles})
