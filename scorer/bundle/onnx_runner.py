"""Runs ONNX models with onnxruntime, on one thread and in blocks of a fixed size, so that results are reproducible."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.fault_words import describe_faults
from scorer.bundle.libraries import import_library
from scorer.bundle.manifest import Setting
from scorer.errors import BundleError, ModelError, RunnerMissingError
from scorer.extras import install_command

if TYPE_CHECKING:
    import onnxruntime

# onnxruntime computes a row differently in batches of different sizes: one row uses another matrix product than two,
# and the last few values of a tensor use other exponential functions than those that fill a vector register
# (onnxruntime#10058). So every run has the same number of rows, with padding at the end. It is a multiple of the 16
# numbers in the widest register, so that no row is among the last few; and small, so that scoring a single application
# does not take long.
_BLOCK_ROWS: Final = 64

_DTYPES: Final = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_FATAL: Final = 4
_SUM_TOLERANCE: Final = 1e-3  # for the sum of the probabilities of two classes


class _Settings(BaseModel):
    """The runner's settings in the manifest."""

    model_config = ConfigDict(strict=True, extra="forbid")

    output: str | None = None
    """Name of the output with the probabilities; optional if only one output is of float or double numbers."""
    column: int | None = Field(default=None, ge=0)
    """Index of the column with the probability of default; default: the only one, or the second of two."""


class OnnxModel:
    """An ONNX model whose output has the probability of default in a known column."""

    def __init__(self, session: "onnxruntime.InferenceSession", output: str, column: int | None) -> None:
        (model_input,) = session.get_inputs()
        self._run = session.run
        self._input = model_input.name
        self._dtype = _DTYPES[model_input.type]
        # A model that was exported with a fixed number of rows always gets that number.
        self._block_rows = model_input.shape[0] if isinstance(model_input.shape[0], int) else _BLOCK_ROWS
        self._output = output
        self._column = column

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the probability of default of each row: shape (n, columns) to (n,). Raises ModelError on failure."""
        blocks = [self._pick_column(output) for output in self._run_blocks(matrix)]
        return np.concatenate(blocks)[: len(matrix)].astype(np.float32)

    def require_two_classes(self, matrix: NDArray[np.float32]) -> None:
        """Ensures that an output of two columns has the probabilities of two classes, unless `column` is set.

        Raises:
            BundleError: the two numbers of a row do not sum to 1.
        """
        for output in self._run_blocks(matrix) if self._column is None else ():
            if output.ndim == 2 and output.shape[1] == 2 and (abs(output.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
                raise BundleError(
                    f"the output {self._output!r} has two columns that do not sum to 1 in each row, so they are not "
                    "the probabilities of two classes: which of them has the probability of default? Set it in the "
                    "description, runner_settings = { column = 0 } or { column = 1 }"
                )

    def _run_blocks(self, matrix: NDArray[np.float32]) -> Iterator[NDArray[Any]]:
        """Yields the model's output per block of rows; the last block is padded."""
        rows, columns = matrix.shape
        blocks = -(-rows // self._block_rows)
        filled = np.empty((blocks * self._block_rows, columns), dtype=self._dtype)
        filled[:rows] = matrix
        filled[rows:] = matrix[-1]
        for block in filled.reshape(blocks, self._block_rows, columns):
            yield self._run([self._output], {self._input: block})[0]

    def _pick_column(self, output: NDArray[Any]) -> NDArray[Any]:
        """Returns the probabilities of default of a block, shape (block,)."""
        table = output[:, None] if output.ndim == 1 else output
        column = self._column
        if column is None and table.ndim == 2 and table.shape[1] in {1, 2}:
            column = table.shape[1] - 1
        if table.ndim != 2 or len(table) != self._block_rows or column is None or column >= table.shape[1]:
            raise ModelError(
                f"the output {self._output!r} has shape {output.shape} for {self._block_rows} rows, expected one "
                "probability of default per row: which column has it? (the runner's setting column)"
            )
        return table[:, column]


def open_onnx(model: bytes, columns: Sequence[str], settings: Mapping[str, Setting]) -> OnnxModel:
    """Opens an ONNX model with one input of shape (rows, columns) and float or double numbers.

    The settings are `output`, the name of an output, and `column`, an index in that output.

    Raises:
        RunnerMissingError: onnxruntime is not installed, or cannot be imported.
        BundleError: the model's inputs or outputs are not supported, or a setting is invalid.
        Exception: onnxruntime cannot read the model; its exceptions have no common base class.
    """
    if find_spec("onnxruntime") is None:
        raise RunnerMissingError(f"running an ONNX model needs onnxruntime: {install_command('onnx')}")
    try:
        chosen = _Settings.model_validate(dict(settings))
    except ValidationError as error:
        raise BundleError(f"the runner onnx has the settings output and column: {describe_faults(error)}") from None
    session = _open_session(model)
    _check_input(session.get_inputs(), columns)
    return OnnxModel(session, _choose_output(session.get_outputs(), chosen.output), chosen.column)


def _open_session(model: bytes) -> "onnxruntime.InferenceSession":
    onnxruntime = import_library("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Its log of a failing run may contain an applicant's values; the exception reports the failure.
    options.log_severity_level = _FATAL
    # A model may refer to external files for its weights. The bundle's digest would not cover them, so they are looked
    # up in an empty folder.
    with TemporaryDirectory() as empty_folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", empty_folder)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _check_input(inputs: Sequence[Any], columns: Sequence[str]) -> None:
    if len(inputs) != 1:
        names = ", ".join(model_input.name for model_input in inputs)
        raise BundleError(f"the model has {len(inputs)} inputs ({names}), expected one matrix")
    (model_input,) = inputs
    if model_input.type not in _DTYPES or len(model_input.shape) != 2:
        raise BundleError(
            f"the model's input {model_input.name!r} is {model_input.type} of shape {model_input.shape}, "
            f"expected a matrix of float or double numbers"
        )
    if model_input.shape[0] == 0:
        raise BundleError(
            f"the model's input {model_input.name!r} has 0 rows: export it with a variable number of rows "
            "(dynamic_axes, or None in the shape)"
        )
    if isinstance(model_input.shape[1], int) and model_input.shape[1] != len(columns):
        raise BundleError(f"the model expects {model_input.shape[1]} columns, but the manifest has {len(columns)}")


def _choose_output(outputs: Sequence[Any], requested: str | None) -> str:
    """Returns the name of the output with the probabilities."""
    candidates = [output.name for output in outputs if output.type in _DTYPES and requested in {None, output.name}]
    if len(candidates) == 1:
        return str(candidates[0])
    descriptions = ", ".join(f"{output.name!r} ({output.type})" for output in outputs)
    if any(output.type.startswith("seq(map") for output in outputs):
        fix = "its probabilities are dictionaries: convert it again without ZipMap, options={'zipmap': False}"
    else:
        fix = "name one of float or double numbers in the runner's setting output"
    raise BundleError(f"which of the model's outputs has the probabilities? Outputs: {descriptions}; {fix}")
