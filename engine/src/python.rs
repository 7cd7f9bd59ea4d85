//! The Python module `scorer_engine`.

use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::encode::Frame;
use crate::tables::{ColumnsTable, DecisionTable, FieldTable, ObjectTable, PolicyTable, ReasonsTable, TreesTable};
use crate::{Decisions, Panicked, without_panic};

create_exception!(
    scorer_engine,
    EngineError,
    PyRuntimeError,
    "The engine failed, which is a fault in it. The batch can be scored by the reference."
);

impl From<Panicked> for PyErr {
    fn from(_: Panicked) -> Self {
        EngineError::new_err("the compiled engine panicked")
    }
}

fn mismatch() -> PyErr {
    EngineError::new_err("the arguments do not fit together")
}

/// Labels, rules and reasons.
type Decided<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

/// Decisions, PDs, what was decided, and positions.
type Scored<'py> = (Bound<'py, PyList>, Bound<'py, PyBytes>, Decided<'py>, Vec<usize>);

/// The engine of one bundle. All methods release the GIL while they compute.
#[pyclass(frozen)]
struct Engine(crate::Engine);

/// Decoded records of a batch.
#[pyclass(frozen)]
struct Decoded(crate::Decoded);

/// What a batch's records come from: the partitions, the offsets, and the text of decisions for each partition.
#[derive(FromPyObject)]
struct Source {
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    frames: Vec<(i32, Vec<u8>, Vec<u8>)>,
}

impl Source {
    fn frames(&self) -> Vec<Frame> {
        let frame = |(partition, start, to_offset): &(i32, Vec<u8>, Vec<u8>)| Frame {
            partition: *partition,
            start: start.clone(),
            to_offset: to_offset.clone(),
        };
        self.frames.iter().map(frame).collect()
    }
}

#[pymethods]
impl Engine {
    /// Compiles the tables. Raises ValueError if they do not fit together, or the engine panics on them.
    #[new]
    fn new(
        contract: (Vec<ObjectTable>, Vec<FieldTable>, usize),
        columns: ColumnsTable,
        policy: PolicyTable,
        decisions: DecisionTable,
        trees: Option<TreesTable>,
        reasons: Option<ReasonsTable>,
    ) -> PyResult<Self> {
        let (objects, fields, id_field) = contract;
        let model = (trees.as_ref(), reasons.as_ref());
        without_panic(|| crate::Engine::new((&objects, &fields, id_field), &columns, &policy, &decisions, model))
            .unwrap_or_else(|Panicked| Err("the compiled engine panicked".into()))
            .map(Self)
            .map_err(PyValueError::new_err)
    }

    /// Decodes values, predicts, decides, explains and encodes.
    ///
    /// Returns the decisions, the PDs (float32), the labels (uint8), the rules that decided (int16, -1 for none) and
    /// the reasons (four times uint8) of the records that the engine decoded, in order, and the positions of these
    /// records. All others are left to the reference.
    fn score<'py>(
        &self,
        py: Python<'py>,
        values: &Bound<'py, PyList>,
        source: Source,
        bytes_max: usize,
    ) -> PyResult<Scored<'py>> {
        let objects = bytes_objects(values);
        let values = contents(&objects, bytes_max);
        let frames = source.frames();
        let (decoded, probabilities, labels, reasons, decisions) = py
            .detach(|| {
                without_panic(|| {
                    let decoded = self.0.decode(&values);
                    let probabilities = self.0.predict(&decoded)?;
                    let labels = self.0.decide(&decoded, &probabilities);
                    let reasons = self.0.explain(&decoded, &labels);
                    let decided = (&labels[..], &probabilities[..]);
                    let places = (&source.partitions[..], &source.offsets[..]);
                    let write_reasons = self.0.write_reasons(&reasons);
                    let decisions = self.0.encode(&decoded, decided, places, &frames, write_reasons)?;
                    Some((decoded, probabilities, labels, reasons, decisions))
                })
            })?
            .ok_or_else(mismatch)?;
        let decided = (PyBytes::new(py, &labels), rules(py, &decoded)?, PyBytes::new(py, reasons.as_flattened()));
        Ok((texts(py, &decisions)?, floats(py, &probabilities)?, decided, decoded.positions))
    }

    /// Decodes values.
    fn decode(&self, py: Python<'_>, values: &Bound<'_, PyList>, bytes_max: usize) -> PyResult<Decoded> {
        let objects = bytes_objects(values);
        let values = contents(&objects, bytes_max);
        Ok(Decoded(py.detach(|| without_panic(|| self.0.decode(&values)))?))
    }

    /// Returns the labels (uint8) of decoded records and the rules that decided (int16, -1 for none).
    ///
    /// The label of a PD that is NaN counts for nothing.
    fn decide<'py>(
        &self,
        py: Python<'py>,
        decoded: &Bound<'py, Decoded>,
        probabilities: Vec<f32>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let decoded = &decoded.get().0;
        let labels = py.detach(|| without_panic(|| self.0.decide(decoded, &probabilities)))?;
        Ok((PyBytes::new(py, &labels), rules(py, decoded)?))
    }

    /// Encodes the decisions on decoded records; one whose PD is NaN has an empty text. `reasons` has the text of each
    /// decision's reasons, or nothing if decisions have none.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        decoded: &Bound<'py, Decoded>,
        probabilities: Vec<f32>,
        source: Source,
        reasons: Vec<Vec<u8>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let decoded = decoded.get();
        let frames = source.frames();
        let decisions = py
            .detach(|| {
                without_panic(|| {
                    let labels = self.0.decide(&decoded.0, &probabilities);
                    let decided = (&labels[..], &probabilities[..]);
                    let places = (&source.partitions[..], &source.offsets[..]);
                    self.0.encode(&decoded.0, decided, places, &frames, |row, text| {
                        text.extend(reasons.get(row).into_iter().flatten());
                    })
                })
            })?
            .ok_or_else(mismatch)?;
        texts(py, &decisions)
    }
}

#[pymethods]
impl Decoded {
    /// The positions of the records in the batch.
    #[getter]
    fn positions(&self) -> Vec<usize> {
        self.0.positions.clone()
    }

    /// The matrix: float32, one row per record.
    #[getter]
    fn matrix<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        floats(py, &self.0.matrix)
    }
}

/// The values that are bytes; all others are left to the reference.
fn bytes_objects<'py>(values: &Bound<'py, PyList>) -> Vec<Option<Bound<'py, PyBytes>>> {
    values.iter().map(|value| value.cast_into_exact::<PyBytes>().ok()).collect()
}

fn contents<'a>(objects: &'a [Option<Bound<'_, PyBytes>>], bytes_max: usize) -> Vec<Option<&'a [u8]>> {
    let content = |value: &'a Option<Bound<'_, PyBytes>>| value.as_ref().map(|bytes| bytes.as_bytes());
    objects.iter().map(|value| content(value).filter(|bytes| bytes.len() <= bytes_max)).collect()
}

fn texts<'py>(py: Python<'py>, decisions: &Decisions) -> PyResult<Bound<'py, PyList>> {
    let mut start = 0;
    let text = |end: &usize| {
        let text = PyBytes::new(py, &decisions.text[start..*end]);
        start = *end;
        text
    };
    PyList::new(py, decisions.ends.iter().map(text))
}

fn rules<'py>(py: Python<'py>, decoded: &crate::Decoded) -> PyResult<Bound<'py, PyBytes>> {
    arrays(py, decoded.rules().iter().map(|rule| rule.to_ne_bytes()))
}

fn floats<'py>(py: Python<'py>, numbers: &[f32]) -> PyResult<Bound<'py, PyBytes>> {
    arrays(py, numbers.iter().map(|number| number.to_ne_bytes()))
}

/// The bytes of an array's elements.
fn arrays<'py, const SIZE: usize>(
    py: Python<'py>,
    elements: impl ExactSizeIterator<Item = [u8; SIZE]>,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, elements.len() * SIZE, |bytes| {
        bytes.as_chunks_mut().0.iter_mut().zip(elements).for_each(|(bytes, element)| *bytes = element);
        Ok(())
    })
}

#[pymodule]
fn scorer_engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // A panic becomes an EngineError; its message could have values of an application.
    std::panic::set_hook(Box::new(|_| {}));
    module.add("EngineError", module.py().get_type::<EngineError>())?;
    module.add_class::<Engine>()?;
    module.add_class::<Decoded>()
}
