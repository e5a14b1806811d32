"""Data from an .npz archive."""

from __future__ import annotations

from pathlib import Path

from toolkit.compress.data.arrays import KINDS, PER_BYTE, SPARE, Arrays, check_names
from toolkit.utils.untrusted import Archive


def read_npz(path: Path) -> Arrays:
    """The arrays x_train, y_train, x_val, y_val, x_test, y_test of an archive (the last four may be missing), or x and
    perhaps y; of several inputs NAME_train and so on, of labels of several outputs y_NAME_train. No pickle is loaded.
    Raises InputError for an array of any other name."""
    with Archive(path, "the data", SPARE, PER_BYTE) as archive:
        names = {name.removesuffix(".npy") for name in archive.members}
        check_names(names, archive.fail)
        try:
            return Arrays({key: archive.array(f"{key}.npy", KINDS) for key in sorted(names)})
        except KeyError as error:
            raise archive.fail(f"has no member {error}; an array is stored under its name and '.npy'") from error
        except MemoryError as error:
            raise archive.fail("needs more memory than there is") from error
