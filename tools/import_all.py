"""Import every module of a package, to see that what it declares is all it needs: `import_all.py PACKAGE`."""

import importlib
import pkgutil
import sys

OPTIONAL = {"httptools", "jh2", "pytest", "trio", "websockets"}
"""What a module may need that its distribution does not depend on: extras, and hosts that bring it themselves."""


def main(package_name: str) -> int:
    package = importlib.import_module(package_name)
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package_name}.")]
    left_out = 0
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
            print(f"{name}: left out, {error.name} is optional and not installed")
            left_out += 1
    print(f"{package_name}: {len(names) + 1 - left_out} modules import, {left_out} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
