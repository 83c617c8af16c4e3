"""What pyproject.toml cannot say: d2lzh_ext.pth goes beside the package.

Python reads it when it starts; see d2lzh_hook.py.
"""
from __future__ import annotations

from setuptools import setup
from setuptools.command.build_py import build_py

PTH = "d2lzh_ext.pth"


class BuildWithPth(build_py):
    def run(self) -> None:
        super().run()
        # An editable installation has nothing but links in build_lib.
        folder = (self.get_finalized_command("install").install_lib
                  if self.editable_mode else self.build_lib)
        self.copy_file(PTH, folder)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), PTH]


setup(cmdclass={"build_py": BuildWithPth})
