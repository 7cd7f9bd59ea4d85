"""Runs any ONNX model by onnxruntime: one thread, and blocks of one size, so that a row's bits are its own."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Setting, explain
from scorer.errors import BundleError, ModelError, RunnerMissingError

if TYPE_CHECKING:
    import onnxruntime

# onnxruntime computes a row differently in batches of different sizes: one row goes through another matrix product than
# two, and the last few values of a tensor through other exponentials than those that fill a vector register
# (onnxruntime#10058). So every run has the same number of rows, the last ones filled up. It is a multiple of the widest
# register's sixteen numbers, so that no row is among the last few; and small enough that a single application does
# not wait for rows that nobody sent.
_BLOCK_ROWS: Final = 64

_DTYPES: Final = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_FATAL: Final = 4
_SUM_TOLERANCE: Final = 1e-3  # of the probabilities of two classes


class _Settings(BaseModel):
    """What the manifest may tell this runner."""

    model_config = ConfigDict(strict=True, extra="forbid")

    output: str | None = None
    """The output that has the probabilities; not needed where only one output has numbers of that kind."""
    column: int | None = Field(default=None, ge=0)
    """Its column that has the probability of default; else its only one, or the second of two."""


class OnnxModel:
    """An ONNX model with its input and the place of the probability of default in its output."""

    def __init__(self, session: "onnxruntime.InferenceSession", output: str, column: int | None) -> None:
        (given,) = session.get_inputs()
        self._run = session.run
        self._input = given.name
        self._dtype = _DTYPES[given.type]
        # A model that was exported for so many rows at a time gets so many.
        self._block_rows = given.shape[0] if isinstance(given.shape[0], int) else _BLOCK_ROWS
        self._output = output
        self._column = column

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of default of each row: shape (n, columns) to (n,). Raises ModelError when it cannot."""
        found = [self._pick(output) for output in self._run_blocks(matrix)]
        return np.concatenate(found)[: len(matrix)].astype(np.float32)

    def require_two_classes(self, matrix: NDArray[np.float32]) -> None:
        """Makes sure that an output of two columns, of which no setting names one, has two classes' probabilities.

        Raises:
            BundleError: a row's two numbers do not sum to 1.
        """
        for output in self._run_blocks(matrix) if self._column is None else ():
            if output.ndim == 2 and output.shape[1] == 2 and (abs(output.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
                raise BundleError(
                    f"the output {self._output!r} has two columns that do not sum to 1 in each row, so they are not "
                    "the probabilities of two classes: which of them has the probability of default? Say so in the "
                    "description, runner_settings = { column = 0 } or { column = 1 }"
                )

    def _run_blocks(self, matrix: NDArray[np.float32]) -> Iterator[NDArray[Any]]:
        """What the model gives for each block of rows, the last one filled up."""
        rows, columns = matrix.shape
        blocks = -(-rows // self._block_rows)
        filled = np.empty((blocks * self._block_rows, columns), dtype=self._dtype)
        filled[:rows] = matrix
        filled[rows:] = matrix[-1]
        for block in filled.reshape(blocks, self._block_rows, columns):
            yield self._run([self._output], {self._input: block})[0]

    def _pick(self, output: NDArray[Any]) -> NDArray[Any]:
        """The probabilities of default of a block, shape (block,)."""
        table = output[:, None] if output.ndim == 1 else output
        column = self._column
        if column is None and table.ndim == 2 and table.shape[1] in {1, 2}:
            column = table.shape[1] - 1
        if table.ndim != 2 or len(table) != self._block_rows or column is None or column >= table.shape[1]:
            raise ModelError(
                f"the output {self._output!r} has shape {output.shape} for {self._block_rows} rows, and one "
                "probability of default a row is needed; which column has it? (the runner's setting column)"
            )
        return table[:, column]


def open_onnx(model: bytes, columns: Sequence[str], settings: Mapping[str, Setting]) -> OnnxModel:
    """Opens an ONNX model with one input of shape (rows, columns) and float or double numbers.

    Its settings are `output`, a name, and `column`, a place in that output.

    Raises:
        RunnerMissingError: onnxruntime is not installed, or cannot be imported.
        BundleError: the model has other inputs or outputs than it may, or a setting is wrong.
        Exception: onnxruntime cannot read the model; its exceptions have no base of their own.
    """
    if find_spec("onnxruntime") is None:
        raise RunnerMissingError(
            "the model is in ONNX, and what runs it is not here: pip install 'streaming-credit-scorer[onnx]'"
        )
    try:
        chosen = _Settings.model_validate(dict(settings))
    except ValidationError as error:
        raise BundleError(f"the runner onnx has the settings output and column: {explain(error)}") from None
    session = _open_session(model)
    _check_input(session.get_inputs(), columns)
    return OnnxModel(session, _choose_output(session.get_outputs(), chosen.output), chosen.column)


def _open_session(model: bytes) -> "onnxruntime.InferenceSession":
    onnxruntime = import_library("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # What it logs of a failing run may hold an applicant's values; the exception says that it failed.
    options.log_severity_level = _FATAL
    # A model may name further files as its weights. They would not be covered by the bundle's digest, so they are
    # looked for where nothing is.
    with TemporaryDirectory() as nothing:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", nothing)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _check_input(inputs: Sequence[Any], columns: Sequence[str]) -> None:
    if len(inputs) != 1:
        names = ", ".join(given.name for given in inputs)
        raise BundleError(f"the model has {len(inputs)} inputs ({names}), and one matrix is what it gets")
    (given,) = inputs
    if given.type not in _DTYPES or len(given.shape) != 2:
        raise BundleError(
            f"the model's input {given.name!r} is {given.type} of shape {given.shape}, "
            f"and a matrix of float or double numbers is what it gets"
        )
    if given.shape[0] == 0:
        raise BundleError(
            f"the model's input {given.name!r} has 0 rows: export it with a variable number of rows (dynamic_axes, or "
            "None in its place)"
        )
    if isinstance(given.shape[1], int) and given.shape[1] != len(columns):
        raise BundleError(f"the model wants {given.shape[1]} columns and the manifest names {len(columns)}")


def _choose_output(outputs: Sequence[Any], wanted: str | None) -> str:
    """The name of the output that has the probabilities."""
    fit = [output.name for output in outputs if output.type in _DTYPES and wanted in {None, output.name}]
    if len(fit) == 1:
        return str(fit[0])
    there = ", ".join(f"{output.name!r} ({output.type})" for output in outputs)
    if any(output.type.startswith("seq(map") for output in outputs):
        cure = "its probabilities are dictionaries: convert it anew without ZipMap, options={'zipmap': False}"
    else:
        cure = "name one of float or double numbers in the runner's setting output"
    raise BundleError(f"which of the model's outputs has the probabilities? There is {there}; {cure}")
