"""Writes a package that stands in for torch where only its data loader is used: torch_stand_in.py FOLDER.

GuideLLM hands its prompts out through torch's data loader, and uses nothing else of it for text. The loader here does the same
in one process: each item of the data set goes through the function that puts a batch together, alone.
"""

import pathlib
import sys

FILES = {
    "__init__.py": """
from . import utils

__version__ = "0"


class Tensor:
    pass


class Generator:
    def manual_seed(self, seed):
        return self
""",
    "utils/__init__.py": "from . import data\n",
    "utils/data/__init__.py": """
from .dataloader import DataLoader
from .dataset import IterableDataset


def get_worker_info():
    return None
""",
    "utils/data/dataset.py": """
class IterableDataset:
    def __class_getitem__(cls, item):
        return cls
""",
    "utils/data/dataloader.py": """
class DataLoader:
    def __class_getitem__(cls, item):
        return cls

    def __init__(self, dataset, collate_fn, **others):
        self.dataset, self.collate_fn = dataset, collate_fn

    def __iter__(self):
        return (self.collate_fn([item]) for item in self.dataset)
""",
}

for name, text in FILES.items():
    file = pathlib.Path(sys.argv[1], "torch", name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
