"""Find the packages: the folders stand at top level, their import names are nsbench.<folder>."""

from setuptools import find_packages, setup

FOLDERS = ("samplers", "benchmarks", "analysis")
found = find_packages(include=[pattern for name in FOLDERS for pattern in (name, f"{name}.*")])
setup(
    packages=["nsbench", *(f"nsbench.{name}" for name in found)],
    package_dir={"nsbench": "src/nsbench", **{f"nsbench.{name}": name for name in FOLDERS}},
)
