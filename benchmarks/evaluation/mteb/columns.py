"""Columns of mteb's data sets as lists.

`datasets` gives a column as an object that reads the table again for each value, and mteb's
classification looks at each label some hundred times: that is most of the time of such a task.
"""

import copy
from typing import Any


def with_lists(data: Any) -> Any:
    """Return a task's data with the same rows, whose columns are lists.

    Args:
        data: A data set, data sets by split, or by language and split. Anything else, such
            as a corpus with its queries, is returned as it is.
    """
    from datasets import Dataset, DatasetDict

    class Listed(Dataset):  # type: ignore[misc]
        def __getitem__(self, key: Any) -> Any:
            found = super().__getitem__(key)
            return found[:] if isinstance(key, str) else found

    def listed(value: Any) -> Any:
        if isinstance(value, DatasetDict):
            return DatasetDict({split: listed(part) for split, part in value.items()})
        if type(value) is Dataset:
            value = copy.copy(value)
            value.__class__ = Listed
        return value

    if isinstance(data, dict) and not isinstance(data, DatasetDict):
        return {language: listed(part) for language, part in data.items()}
    return listed(data)
