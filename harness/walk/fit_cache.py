"""The cache of finished fits: a rerun fits nothing again, a killed run continues where it stopped.

The key of a fit is the hash of all its inputs: the model (kind, parameters, task), the code and the
library versions that fit it, the rows it was trained on and asked to forecast, their targets, and
the seed. A changed row, parameter or seed changes the keys of the fits that depend on it and of no
others; changed code of models or fits changes all keys. Files are in the safetensors format, which
holds numbers and text, nothing that could be executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from harness.cache import alone, cache_folder, code_hash
from harness.errors import RunError
from harness.models.protocol import history_of
from harness.types import Rows

_LAYOUT = 1
_FOLDER = "fits"
# All code that a fit runs. Rows are hashed themselves, so the code that makes them is not listed.
MADE_BY = ("kernels", "measures", "models", "samples", "walk", "types.py")
Arrays = Mapping[str, np.ndarray]


def fits_folder() -> Path:
    """The folder of cached fits."""
    return cache_folder() / _FOLDER


@dataclass(frozen=True)
class Entry:
    """One fit's place in the cache: its file, and its inputs as text."""

    path: Path
    made_from: Mapping[str, Any]

    def read(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The fit's arrays and words; None if it is not in the cache.

        RunError for a damaged file, or one with other inputs.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from None
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            words = json.loads(_metadata(content)["fit"])
            arrays = load(content)
        except (SafetensorError, ValueError, KeyError, TypeError, MemoryError) as error:
            why = type(error).__name__
            raise self._refused(f"damaged or no safetensors file ({why})") from None
        if not isinstance(words, dict) or not isinstance(words.get("made_from"), dict):
            raise self._refused("damaged (it does not say what it was made from)")
        if words.get("checksum") != _checksum(arrays, words.get("result")):
            raise self._refused("damaged (its checksum is another)")
        other = [k for k, v in self.made_from.items() if words["made_from"].get(k) != v]
        if other:
            raise self._refused(f"made from another {' and '.join(other)}")
        return arrays, words["result"]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A lock: processes that need the same fit wait for the one that makes it."""
        with alone(self.path.with_suffix(".lock")):
            yield

    def _refused(self, why: str) -> RunError:
        return RunError(f"{self.path}: a cached fit, {why}: delete the file or run with --fresh")

    def write(self, arrays: Arrays, result: Mapping[str, Any]) -> None:
        """Write the fit atomically; errors of a full or read-only cache are ignored."""
        from safetensors.numpy import save

        whole = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        words = {
            "made_from": dict(self.made_from),
            "result": result,
            "checksum": _checksum(whole, result),
        }
        content = save(whole, {"fit": json.dumps(words)})
        temporary = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(temporary).replace(self.path)
        except OSError:
            if temporary is not None:
                with suppress(OSError):
                    Path(temporary).unlink(missing_ok=True)


@dataclass(frozen=True)
class FitCache:
    """The cache's folder, and by name the text (kind, parameters, task) of cached models."""

    folder: Path
    models: Mapping[str, str]

    def entry(
        self,
        words: str,
        *,
        made_by: Mapping[str, str],
        rows: Mapping[str, tuple[Rows, tuple[str, ...]]],
        numbers: Mapping[str, np.ndarray],
        look_back: int | None,
        settings: Mapping[str, Any],
    ) -> Entry:
        """The place of one fit.

        `words` say what is fitted, `made_by` with which versions and on which device; `rows` are
        the training, held-out and test rows with the model's features alone, of which it sees the
        last `look_back` forecast origins (None: all), and the names of their symbols; `numbers` are
        the targets and other numbers of these rows; `settings` the seed and the rest of the inputs.
        """
        digest = xxhash.xxh3_128()
        for name, (part, symbols) in rows.items():
            digest.update(name.encode())
            _add_rows(digest, part, symbols, look_back)
        for name, values in numbers.items():
            _add(digest, name, values)
        made_from = {
            "layout": _LAYOUT,
            "model": words,
            "code": _code(),
            "libraries": dict(made_by),
            "rows": digest.hexdigest(),
            "settings": dict(settings),
        }
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
        return Entry(self.folder / f"{key[:40]}.safetensors", made_from)


def _add_rows(
    digest: xxhash.xxh3_128, rows: Rows, symbols: tuple[str, ...], length: int | None
) -> None:
    """Adds all that a model may see of the rows; symbols by name, since codes may change."""
    codes, each = np.unique(rows.symbol, return_inverse=True)
    digest.update(json.dumps([rows.names, [symbols[c] for c in codes]]).encode())
    _add(digest, "symbol", each.astype(np.int32))
    _add(digest, "formed_at", rows.formed_at)
    if length is None:
        _add_histories(digest, rows, codes)
        return
    if not length:
        _add(digest, "X", np.ascontiguousarray(rows.X))
        return
    steps, places = rows.steps(length)
    seen = np.zeros(len(steps.values), np.bool_)
    seen[places] = True
    # Some steps between one symbol's and the next symbol's are in no row's look-back.
    _add(digest, "steps", steps.values[seen])
    _add(digest, "places", np.cumsum(seen)[places[:, -1]] if places.size else places)


def _add_histories(digest: xxhash.xxh3_128, rows: Rows, codes: np.ndarray) -> None:
    """Adds each symbol's features up to its last row, and its rows' positions among them."""
    history, places = history_of(rows)
    columns = [history.names.index(name) for name in rows.names]
    for code in codes:
        begin, at = int(history.begins[code]), places[rows.symbol == code]
        _add(digest, "history", history.values[columns, begin : int(at.max()) + 1])
        _add(digest, "at", at - begin)


def _add(digest: xxhash.xxh3_128, name: str, values: np.ndarray) -> None:
    digest.update(f"{name} {values.dtype} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data.cast("B") if values.size else b"")


def _checksum(arrays: Arrays, result: object) -> str:
    digest = xxhash.xxh3_128(json.dumps(result, sort_keys=True).encode())
    for name in sorted(arrays):
        _add(digest, name, arrays[name])
    return digest.hexdigest()


def _metadata(content: bytes) -> Mapping[str, str]:
    """The text in a safetensors file: an eight-byte length, then as many bytes of JSON."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"]


@cache
def _code() -> str:
    return code_hash(*MADE_BY)[:32]
