//! A subject that is ready to be measured: model, engine and machine, with all that follows from them.

use crate::turn::{self, Turn};
use gguflab_engine::engine::Scene;
use gguflab_engine::subject::SubjectError;
use gguflab_engine::{Engine, EngineError, EngineSpecification, Estimator, Stop, machine, open, subject};
use gguflab_format::{FindingCode, FormatError, Model, ModelFacts, ModelKind, Severity, check};
use gguflab_plan::LayerBytes;
use gguflab_plan::memory::{self, Need};
use gguflab_types::knob::Facts;
use gguflab_types::metric::DeclaredMetric;
use gguflab_types::{Configuration, Ending, Job, Machine, Outcome, Protocol, Subject, Workload};
use gguflab_types::{Deadlines, ModelIdentity};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a subject is put together from.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// Path of the model; `None` only for an engine that stands for one itself.
    pub model: Option<&'a Path>,
    /// The engine.
    pub engine: &'a EngineSpecification,
    /// What will be run.
    pub workload: &'a Workload,
    /// Folder for remembered hashes.
    pub cache: Option<&'a Path>,
}

/// A subject that is ready to be measured.
pub struct Laboratory {
    /// What is measured.
    pub subject: Subject,
    /// What knobs depend on.
    pub facts: Facts,
    /// Remarks about model and machine that the user should know of.
    pub warnings: Vec<String>,
    /// Those of them that are about the model.
    pub model_warnings: Vec<String>,
    /// The metrics that the engine tells besides those of the table.
    pub metrics: Vec<DeclaredMetric>,
    model: PathBuf,
    /// Whether the model is a file, and not something that the engine has in itself.
    has_file: bool,
    pub(crate) model_facts: Option<ModelFacts>,
    /// Weights by layer.
    pub(crate) layers: Option<LayerBytes>,
    workload: Workload,
    turns: Option<PathBuf>,
    pub(crate) engine: Box<dyn Engine>,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum LaboratoryError {
    /// The engine cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] SubjectError),
    /// The model's header cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// No model was named.
    #[error("engine `{0}` needs a model: name a GGUF file")]
    NoModel(String),
    /// The file is no model that generates text.
    #[error("{path} is a {kind}: only models that generate text can be measured")]
    Kind {
        /// The file.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// The file is damaged.
    #[error("{path} cannot be used: {problem}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The workload asks for nothing, or for more than the model can.
    #[error("workload {name}: {problem}")]
    Workload {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl Laboratory {
    /// Puts a subject together: reads the model's header, starts the engine, looks at the machine.
    ///
    /// # Errors
    /// [`LaboratoryError`] says what cannot be used and why.
    pub fn prepare(parts: &Parts<'_>) -> Result<Laboratory, LaboratoryError> {
        check_workload(parts.workload)?;
        // The file is looked at first: its errors are the commonest, and it costs milliseconds.
        let model = parts.model.map(usable_model).transpose()?;
        let mut engine = open(parts.engine)?;
        let scene = engine.scene().cloned();
        let mut warnings = Vec::new();
        let identity = match (&scene, &model) {
            (Some(scene), _) => scene.model.clone(),
            (None, Some(usable)) => subject::identity_of(&usable.model, parts.cache)?,
            // What it measures is named by its command.
            (None, None) if !engine.needs_model() => {
                ModelIdentity { name: "command".into(), ..ModelIdentity::default() }
            }
            (None, None) => return Err(LaboratoryError::NoModel(parts.engine.kind.clone())),
        };
        let layers = model
            .as_ref()
            .and_then(|usable| Some(LayerBytes::read(&usable.model, usable.facts.block_count?)));
        let (path, model_facts) = match model {
            Some(usable) => {
                warnings.extend(usable.warnings);
                (usable.model.first().path.clone(), Some(usable.facts))
            }
            // An engine that stands for a model of its own has no file; command lines then show where one belongs.
            None => (PathBuf::from("MODEL.gguf"), None),
        };
        let has_file = model_facts.is_some();
        let model_warnings = warnings.clone();
        let machine = machine_of(&scene, engine.as_mut(), &mut warnings)?;
        let facts = Facts {
            declared: engine.declared(),
            serves: gguflab_engine::serves(&engine.identity().kind),
            ..knob_facts(&machine, &scene, model_facts.as_ref(), parts.workload)
        };
        if let Some(trained) = model_facts.as_ref().and_then(|facts| facts.context_length) {
            warn_of_context(parts.workload, trained, &mut warnings);
        }
        Ok(Laboratory {
            subject: make_subject(identity, engine.as_ref(), machine),
            facts,
            warnings,
            model_warnings,
            model: path,
            has_file,
            // What another program needs for the model is not known from its header.
            model_facts: model_facts.filter(|_| engine.needs_model()),
            metrics: engine.declared_metrics().to_vec(),
            layers,
            workload: parts.workload.clone(),
            // A simulated machine is disturbed by nobody.
            turns: parts.cache.filter(|_| scene.is_none()).map(turn::file),
            engine,
        })
    }

    /// Path of the model's first part; a stand-in when the engine stands for a model of its own.
    #[must_use]
    pub fn model(&self) -> &Path {
        &self.model
    }

    /// What foretells the needs of configurations, if the engine can.
    #[must_use]
    pub fn estimator(&self) -> Option<Arc<dyn Estimator + Send + Sync>> {
        self.engine.estimator(self.model_file(), &self.workload)
    }

    /// Tokens that the model was trained to read at once, if its header tells.
    #[must_use]
    pub fn trained_context(&self) -> Option<u64> {
        self.model_facts.as_ref()?.context_length
    }

    /// Path of the model's first part; empty when there is no file.
    fn model_file(&self) -> &Path {
        if self.has_file { &self.model } else { Path::new("") }
    }

    /// What is run.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// Bytes that a configuration needs, if the header says enough.
    #[must_use]
    pub fn need(&self, configuration: &Configuration) -> Option<Need> {
        let facts = self.model_facts.as_ref()?;
        let tokens = self.workload.longest_sequence();
        let need = memory::need(facts, configuration, tokens, u64::from(self.workload.concurrency()))?;
        let batch = configuration.meant("batch", &self.facts).as_integer();
        let batch = batch.and_then(|size| u64::try_from(size).ok()).unwrap_or(u64::MAX);
        let logits = memory::logits_bytes(facts, self.workload.logits_at_once(batch));
        Some(Need { compute: need.compute.saturating_add(logits), ..need })
    }

    /// Waits until nothing else of ours measures on this machine; `None` when the user stopped it meanwhile.
    pub(crate) fn take_turn(&self, stop: &Stop, waiting: &mut dyn FnMut()) -> Option<Turn> {
        turn::take(self.turns.as_deref(), stop, waiting)
    }

    /// Gives back what its engine holds of a GPU's memory, before another laboratory needs it.
    pub(crate) fn release(&mut self) {
        self.engine.release();
    }

    /// The job of one trial.
    #[must_use]
    pub fn job(&self, configuration: &Configuration, protocol: &Protocol, deadlines: Deadlines) -> Job {
        let usable = self.subject.machine.memory.usable();
        Job {
            model: self.model_file().to_path_buf(),
            configuration: configuration.spelled_out(&self.facts),
            workload: self.workload.clone(),
            protocol: protocol.clone(),
            deadlines,
            memory_limit: (usable > 0).then_some(usable),
        }
    }

    /// Why a configuration need not even be tried: without a GPU everything has to fit into memory.
    #[must_use]
    pub fn refusal(&self, configuration: &Configuration) -> Option<Ending> {
        if let Err(reason) = configuration.checked(&self.facts) {
            return Some(Ending::new(Outcome::Rejected, reason));
        }
        let usable = self.subject.machine.memory.usable();
        let need = self.need(configuration).filter(|_| self.facts.gpus == 0 && usable > 0)?;
        // Weights that are mapped from the file need not all be in memory at once; cache and buffers do.
        let must_fit = need.cache.saturating_add(need.compute);
        (must_fit > usable).then(|| {
            let cause = format!(
                "not tried: cache and buffers need about {}, and {} can be had; take a shorter context or a smaller batch",
                gibibytes(must_fit),
                gibibytes(usable)
            );
            Ending::new(Outcome::OutOfMemory, cause)
        })
    }

    /// A rough guess of the seconds that one visit takes, before anything was measured: every pass over the
    /// weights at the speed of ordinary memory, four tokens of a prompt for each pass.
    #[must_use]
    pub fn expected_seconds(&self) -> f64 {
        /// Bytes that a processor of today reads from memory in a second.
        const MEMORY_SPEED: f64 = 15e9;
        /// Tokens of a prompt that take as long as one generated token.
        const PROMPT_SHARE: f64 = 4.0;
        let pass = self.subject.model.bytes as f64 / MEMORY_SPEED;
        let requests = self.workload.requests.iter();
        let passes = requests.map(|one| {
            let prompt = f64::from(one.prompt + one.depth) * f64::from(one.concurrency) / PROMPT_SHARE;
            f64::from(one.generate) + prompt
        });
        passes.sum::<f64>() * pass
    }

    /// Warns when the model is larger than the memory that can be had: it would be read from the disk again and
    /// again.
    #[must_use]
    pub fn memory_warning(&self) -> Option<String> {
        let need = self.need(&Configuration::new())?;
        let usable = self.subject.machine.memory.usable();
        // A context that does not fit is refused; then there is nothing to warn of.
        let runs = self.refusal(&Configuration::new()).is_none();
        (self.facts.gpus == 0 && usable > 0 && need.total() > usable && runs).then(|| {
            format!(
                "the model needs about {} and {} can be had: it will be read from the disk while it runs",
                gibibytes(need.total()),
                gibibytes(usable)
            )
        })
    }
}

/// Remarks of several subjects, each once.
#[must_use]
pub fn each_once(warnings: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for warning in warnings {
        if !all.contains(&warning) {
            all.push(warning);
        }
    }
    all
}

fn gibibytes(bytes: u64) -> String {
    gguflab_report::format::number(bytes as f64, gguflab_types::Unit::Bytes)
}

fn check_workload(workload: &Workload) -> Result<(), LaboratoryError> {
    let refuse = |problem: &str| {
        Err(LaboratoryError::Workload { name: workload.name.clone(), problem: problem.to_string() })
    };
    if workload.requests.is_empty() {
        return refuse("it has no request");
    }
    for request in &workload.requests {
        if request.prompt == 0 && request.generate == 0 {
            return refuse("a request needs prompt tokens or tokens to generate");
        }
        if request.concurrency == 0 {
            return refuse("concurrency 0 runs nothing: take 1 or more");
        }
        if !(request.weight.is_finite() && request.weight > 0.0) {
            return refuse("a weight has to be a number above 0");
        }
    }
    // Each of them first: products of larger ones are no numbers any more.
    let largest = |one: &gguflab_types::Request| {
        one.prompt.max(one.generate).max(one.depth).max(one.concurrency) > i32::MAX.unsigned_abs()
    };
    if workload.requests.iter().any(largest) || workload.context() > u64::from(i32::MAX.unsigned_abs()) {
        return refuse("it needs a context of over 2,147,483,647 tokens");
    }
    Ok(())
}

/// A model that can be measured, with what its header says.
struct Usable {
    model: Model,
    facts: ModelFacts,
    warnings: Vec<String>,
}

fn usable_model(path: &Path) -> Result<Usable, LaboratoryError> {
    let model = Model::open(path)?;
    let facts = ModelFacts::read(&model);
    let path = path.display().to_string();
    if facts.kind != ModelKind::Decoder {
        return Err(LaboratoryError::Kind { path, kind: facts.kind.name() });
    }
    let findings = check(&model);
    // A file whose data is cut would crash the engine or give wrong numbers.
    if let Some(finding) = findings.iter().find(|finding| finding.severity == Severity::Error) {
        return Err(LaboratoryError::Damaged { path, problem: finding.message.clone() });
    }
    let warnings = findings.into_iter().filter(is_worth_saying).map(|finding| finding.message).collect();
    Ok(Usable { model, facts, warnings })
}

/// Checks that a model can be run, before any engine is started for it.
///
/// # Errors
/// [`LaboratoryError`] says what is wrong with the file.
pub fn check_model(path: &Path) -> Result<(), LaboratoryError> {
    usable_model(path).map(drop)
}

/// Findings that say nothing of speed: how the file would quantise, and whether it can chat.
const NOT_OF_SPEED: [FindingCode; 2] = [FindingCode::FallbackColumns, FindingCode::MissingChatTemplate];

fn is_worth_saying(finding: &gguflab_format::Finding) -> bool {
    finding.severity == Severity::Warning && !NOT_OF_SPEED.contains(&finding.code)
}

fn machine_of(
    scene: &Option<Scene>,
    engine: &mut dyn Engine,
    warnings: &mut Vec<String>,
) -> Result<Machine, LaboratoryError> {
    if let Some(scene) = scene {
        return Ok(scene.machine.clone());
    }
    let mut machine = machine::detect();
    warnings.extend(machine::preflight(&machine));
    machine.devices = engine.devices()?;
    Ok(machine)
}

fn make_subject(model: ModelIdentity, engine: &dyn Engine, machine: Machine) -> Subject {
    Subject { model, engine: engine.identity().clone(), machine }
}

fn knob_facts(
    machine: &Machine,
    scene: &Option<Scene>,
    model: Option<&ModelFacts>,
    workload: &Workload,
) -> Facts {
    let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let layers = model.and_then(|facts| facts.block_count).map_or(0, whole);
    let experts = model.and_then(|facts| facts.experts.as_ref()).map_or(0, |experts| whole(experts.count));
    let (layers, experts) = scene.as_ref().map_or((layers, experts), |scene| (scene.layers, scene.experts));
    machine.facts(layers, experts, workload)
}

fn warn_of_context(workload: &Workload, trained: u64, warnings: &mut Vec<String>) {
    let longest = workload.longest_sequence();
    if longest > trained {
        warnings.push(format!(
            "a sequence of {longest} tokens is longer than the {trained} that the model was trained for"
        ));
    }
}
