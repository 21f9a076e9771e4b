//! What a server did under load.

mod prompts;

use super::words::{count, list};
use super::{estimate_cell, subject};
use crate::documents;
use crate::load::figures::{Figures, PERCENTILES as SHOWN, TIMES};
use crate::load::knee::{Knee, knee, power};
use crate::load::{Arrivals, Level, LoadRecord, is_distorted};
use crate::requirement::Requirement;
use gguflab_report::chart::{Axis, ChartKind, Point, Series, Shape};
use gguflab_report::format::number;
use gguflab_report::{Cell, Chart, Column, Document, Table};
use gguflab_stats::{Estimate, Percentile};
use gguflab_types::{Outcome, PromptKind, Request, Unit, Workload, metric};

/// How many times the smallest load the largest one is where pictures get a logarithmic axis.
const WIDE: f64 = 8.0;

/// Loads of one kind, from the smallest to the largest.
struct Group<'a> {
    levels: Vec<&'a Level>,
    figures: Vec<Figures>,
}

/// The document of a load.
#[must_use]
pub fn document(record: &LoadRecord, limits: &[Requirement], warnings: &[String]) -> Document {
    let mut document = Document::new(format!("Load on {}", record.subject.model.name));
    warnings.iter().for_each(|warning| {
        document.warning(warning);
    });
    document.facts(subject::facts(&record.subject));
    document.facts(facts(record));
    if record.ending.outcome != Outcome::Measured {
        let ending = &record.ending;
        document.warning(format!("the load ended as {}: {}", ending.outcome, ending.cause));
    }
    for closed in [true, false] {
        let group = Group::of(record, limits, closed);
        if !group.levels.is_empty() {
            group.write(&mut document);
        }
    }
    prompts::remark(record, &mut document);
    document
}

/// One load in one line, for whoever watches.
#[must_use]
pub fn line(level: &Level, workload: &Workload) -> String {
    let figures = Figures::of(level, &[], workload);
    let rate = figures
        .tokens
        .as_ref()
        .map_or("no tokens".to_string(), |tokens| number(tokens.value, Unit::TokensPerSecond));
    let first = figures.times_of(metric::FIRST_TOKEN).and_then(|times| times.mean.as_ref());
    let first = first.map_or(String::new(), |first| {
        format!(", first token after {} on average", number(first.value, Unit::Seconds))
    });
    let failed = match figures.failed() {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{rate}{first}, {}{failed}", count(figures.completed as usize, "request"))
}

/// `4 clients`, `0.5 requests/s`.
#[must_use]
pub fn name(arrivals: Arrivals) -> String {
    match arrivals {
        Arrivals::Clients(clients) => count(clients as usize, "client"),
        Arrivals::Rate(rate) => format!("{rate} requests/s"),
    }
}

fn facts(record: &LoadRecord) -> Vec<(String, Cell)> {
    let mut facts = Vec::new();
    if let Some((address, told)) = &record.endpoint {
        facts.push(("address".to_string(), Cell::code(address)));
        if let Some(slots) = told.slots {
            facts.push(("slots".to_string(), Cell::count(slots)));
        }
        if let Some(context) = told.context {
            facts.push(("context of a slot".to_string(), Cell::number(context as f64, Unit::Tokens)));
        }
    } else {
        facts.push(("settings".to_string(), Cell::code(record.configuration.to_string())));
    }
    let label = |one: &Request| {
        let prompt = if record.prompts.is_some() { 0 } else { one.prompt };
        Request { concurrency: 1, prompt, ..*one }.label()
    };
    let labels: Vec<String> = record.workload.requests.iter().map(label).collect();
    let prompts = match (&record.prompts, record.protocol.prompt) {
        (Some(_), _) => "prompts of a dataset",
        (None, PromptKind::Text) => "prompts of text, each another one",
        (None, PromptKind::Random) => "prompts of random tokens",
    };
    facts.push(("requests".to_string(), Cell::text(format!("{}; {prompts}", list(&labels)))));
    if let Some(origin) = &record.prompts {
        facts.push(("prompts".to_string(), Cell::text(prompts::in_words(origin))));
    }
    let window = format!(
        "{} for each load after a warm-up; seed {}; a connection for each request",
        number(record.window, Unit::Seconds),
        record.protocol.seed
    );
    facts.push(("measured".to_string(), Cell::text(window)));
    if !record.limits.is_empty() {
        facts.push(("limits".to_string(), Cell::code(record.limits.join(" "))));
    }
    if let Some(bytes) = record.peak_memory {
        facts.push(("peak memory of the server".to_string(), Cell::number(bytes, Unit::Bytes)));
    }
    facts
}

impl<'a> Group<'a> {
    fn of(record: &'a LoadRecord, limits: &[Requirement], closed: bool) -> Group<'a> {
        let mut both: Vec<(&Level, Figures)> = record
            .levels
            .iter()
            .map(|level| (level, Figures::of(level, limits, &record.workload)))
            .filter(|(_, figures)| figures.is_closed() == closed)
            .collect();
        both.sort_by(|one, other| one.1.load().total_cmp(&other.1.load()));
        let (levels, figures) = both.into_iter().unzip();
        Group { levels, figures }
    }

    fn write(&self, document: &mut Document) {
        let is_closed = self.figures.first().is_some_and(Figures::is_closed);
        document.heading(1, if is_closed { "Clients" } else { "Requests per second" });
        let knee = knee(&self.figures);
        document.paragraph(self.conclusion(&knee));
        document.table(self.throughput());
        let goodput = self.goodput();
        if !goodput.rows.is_empty() {
            document.table(goodput);
        }
        for metric in TIMES {
            document.table(self.times(metric));
        }
        if self.figures.iter().any(|figures| figures.own > 0) {
            document.table(prompts::table(&self.figures));
        }
        let failures = self.failures();
        if !failures.rows.is_empty() {
            document.table(failures);
        }
        let place = if let Knee::At { place, .. } = knee { Some(place) } else { None };
        if self.figures.len() > 1 {
            document.chart(self.throughput_chart(place));
            document.chart(self.times_chart(metric::FIRST_TOKEN, "Time to the first token", place));
            document.chart(self.times_chart(metric::INTER_TOKEN, "Time between tokens", place));
        }
        self.notes(document);
    }

    fn conclusion(&self, knee: &Knee) -> String {
        let name_of =
            |place: &usize| self.figures.get(*place).map_or(String::new(), |one| name(one.arrivals));
        let power = "the load with the most throughput for its waiting (tokens per second over the mean time of a request)";
        match knee {
            Knee::At { place, rivals } => {
                let rest = match rivals.as_slice() {
                    [] => String::new(),
                    rivals => {
                        let names: Vec<String> = rivals.iter().map(name_of).collect();
                        format!("; it is not told apart from {}", list(&names))
                    }
                };
                format!("The knee lies at {}: {power}{rest}.", name_of(place))
            }
            Knee::Beyond => {
                format!("No knee was reached: {power} is the largest that was tried. Try larger ones.")
            }
            Knee::Below => {
                format!("The knee lies at the smallest load that was tried or below: that is {power}.")
            }
            Knee::Unknown => format!("A knee ({power}) is looked for among three loads or more."),
        }
    }

    fn throughput(&self) -> Table {
        let columns = [
            Column::new("load"),
            Column::new("measured").help("requests that were sent in the window and ended well"),
            Column::new("failed"),
            Column::new("at once").help("requests on their way, averaged over the window"),
            Column::with_unit("output", Unit::TokensPerSecond).help("generated tokens per second"),
            Column::with_unit("requests/s", Unit::None),
            Column::with_unit("power", Unit::None).help("output over the mean time of a request"),
        ];
        let mut table = Table::new("Throughput (95 % intervals)", columns);
        for figures in &self.figures {
            table.push([
                Cell::text(name(figures.arrivals)),
                Cell::count(figures.completed),
                Cell::count(figures.failed()),
                Cell::number(figures.at_once, Unit::None),
                rate_cell(figures.tokens.as_ref(), Unit::TokensPerSecond),
                rate_cell(figures.requests.as_ref(), Unit::None),
                rate_cell(power(figures).as_ref(), Unit::None),
            ]);
        }
        table
    }

    fn goodput(&self) -> Table {
        let columns = [
            Column::new("load"),
            Column::with_unit("within limits", Unit::Fraction)
                .help("share of all requests of the window, failed ones included"),
            Column::with_unit("good requests/s", Unit::None)
                .help("goodput: requests per second within limits"),
        ];
        let mut table = Table::new("Within limits (95 % intervals)", columns);
        for figures in self.figures.iter().filter(|figures| figures.good.is_some()) {
            let goodput = figures.goodput.map_or(Cell::missing(""), |rate| Cell::number(rate, Unit::None));
            let share = rate_cell(figures.good.as_ref(), Unit::Fraction);
            table.push([Cell::text(name(figures.arrivals)), share, goodput]);
        }
        table
    }

    fn times(&self, metric: &str) -> Table {
        let percentiles = SHOWN.map(|(_, name)| Column::with_unit(name, Unit::Seconds));
        let columns = [Column::new("load"), Column::with_unit("mean", Unit::Seconds)]
            .into_iter()
            .chain(percentiles)
            .chain([
                Column::new("samples").help("and the independent ones that they are worth at the median")
            ]);
        let mut table = Table::new(format!("{metric} (95 % intervals)"), columns);
        for figures in &self.figures {
            let Some(times) = figures.times_of(metric) else { continue };
            let mean = times.mean.as_ref();
            let mean = mean.map_or(Cell::missing(""), |mean| estimate_cell(mean, Unit::Seconds));
            let row = [Cell::text(name(figures.arrivals)), mean];
            let shown = SHOWN.map(|(probability, _)| percentile_cell(times.percentile(probability)));
            let samples = times.percentile(0.5).map_or(Cell::missing(""), |middle| {
                Cell::text(format!("{} ({:.0})", middle.count, middle.effective))
            });
            table.push(row.into_iter().chain(shown).chain([samples]));
        }
        table
    }

    fn failures(&self) -> Table {
        let columns = ["load", "failure", "requests", "the first one's cause"].map(Column::new);
        let mut table = Table::new("Failed requests, which count in no figure", columns);
        for figures in &self.figures {
            for (kind, (number, cause)) in &figures.failures {
                table.push([
                    Cell::text(name(figures.arrivals)),
                    Cell::text(kind.name()),
                    Cell::count(*number),
                    Cell::text(cause),
                ]);
            }
        }
        table
    }

    fn throughput_chart(&self, knee: Option<usize>) -> Chart {
        let point = |figures: &Figures| {
            let tokens = figures.tokens.as_ref()?;
            Some(documents::point(figures.load(), tokens).label(name(figures.arrivals)))
        };
        let points: Vec<Point> = self.figures.iter().filter_map(point).collect();
        let mut series = vec![Series { name: "output".to_string(), shape: Shape::Line, points }];
        let marked = knee.and_then(|place| point(self.figures.get(place)?));
        series.extend(marked.map(knee_mark));
        let kind = ChartKind::Lines {
            across: self.across(),
            axis: Axis::new("output", Unit::TokensPerSecond),
            series,
        };
        Chart::new("Throughput against load", "bands are 95 % intervals", kind)
    }

    fn times_chart(&self, metric: &str, title: &str, knee: Option<usize>) -> Chart {
        let point = |figures: &Figures, probability: f64| {
            let estimate = figures.times_of(metric)?.percentile(probability)?.estimate.as_ref()?;
            Some(documents::point(figures.load(), estimate).label(name(figures.arrivals)))
        };
        let line = |(probability, name): (f64, &str)| {
            let points: Vec<Point> =
                self.figures.iter().filter_map(|figures| point(figures, probability)).collect();
            // One point is no curve.
            (points.len() > 1).then(|| Series { name: name.to_string(), shape: Shape::Line, points })
        };
        let mut series: Vec<Series> = [SHOWN[0], SHOWN[1]].into_iter().filter_map(line).collect();
        let marked = knee.and_then(|place| point(self.figures.get(place)?, 0.5));
        series.extend(marked.map(knee_mark));
        let kind = ChartKind::Lines { across: self.across(), axis: Axis::new(metric, Unit::Seconds), series };
        Chart::new(title, "percentiles against load; bands are 95 % intervals", kind)
    }

    fn across(&self) -> Axis {
        let is_closed = self.figures.first().is_some_and(Figures::is_closed);
        let axis = Axis::new(if is_closed { "clients" } else { "requests per second" }, Unit::None);
        let ends = self.figures.first().zip(self.figures.last());
        // Loads that are doubled again and again lie equally far apart.
        match ends.is_some_and(|(first, last)| last.load() >= WIDE * first.load()) {
            true => axis.logarithmic(),
            false => axis,
        }
    }

    fn notes(&self, document: &mut Document) {
        for (level, figures) in self.levels.iter().zip(&self.figures) {
            let load = name(figures.arrivals);
            if let Some(cause) = &level.cut {
                document.warning(format!("{load}: ended early, and no larger load was tried: {cause}"));
            }
            let typical = figures.times_of(metric::INTER_TOKEN).and_then(|times| times.mean.as_ref());
            let client = &level.client;
            if is_distorted(client, typical.map_or(f64::INFINITY, |mean| mean.value)) {
                document.warning(format!(
                    "{load}: the client was at work for {} of the time and late by {} on average: it could not keep up, \
                     and the times are partly its own",
                    number(client.share, Unit::Fraction),
                    number(client.late, Unit::Seconds)
                ));
            }
            let (asked, produced) = figures.asked_and_produced;
            if produced < asked {
                document.information(format!("{load}: {asked} tokens were asked for and {produced} came"));
            }
            if !figures.each_token {
                document.information(format!(
                    "{load}: the server sends several tokens with one event: the time between tokens is that between events"
                ));
            }
        }
        self.say_client(document);
    }

    /// How much of what was measured can be the client's own doing.
    fn say_client(&self, document: &mut Document) {
        let most = |pick: fn(&Level) -> f64| self.levels.iter().map(|level| pick(level)).fold(0.0, f64::max);
        document.information(format!(
            "The client was at work for at most {} of the time: what came was stamped {} late on average, and {} at most.",
            number(most(|level| level.client.share), Unit::Fraction),
            number(most(|level| level.client.late), Unit::Seconds),
            number(most(|level| level.client.longest), Unit::Seconds)
        ));
    }
}

fn knee_mark(point: Point) -> Series {
    let name = format!("knee: {}", point.label);
    let points = vec![Point { y_interval: None, ..point }];
    Series { name, shape: Shape::Points, points }
}

fn percentile_cell(percentile: Option<&Percentile>) -> Cell {
    match percentile.map(|one| (one, &one.estimate)) {
        Some((_, Some(estimate))) => estimate_cell(estimate, Unit::Seconds),
        Some((one, None)) => Cell::missing(format!("has {:.0} of {}", one.effective.floor(), one.needed)),
        None => Cell::missing(""),
    }
}

fn rate_cell(estimate: Option<&Estimate>, unit: Unit) -> Cell {
    estimate.map_or(Cell::missing("nothing ended well"), |estimate| estimate_cell(estimate, unit))
}
