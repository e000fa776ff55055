//! What was recorded and what is measured: a figure for each scenario, in one file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Figures by the name of their scenario.
pub type Table = BTreeMap<String, f64>;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Instructions,
    Allocations,
    SystemCalls,
    Held,
    Object,
    Kernel,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Instructions, Self::Allocations, Self::SystemCalls, Self::Held, Self::Object, Self::Kernel];

    /// Its table in the file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Allocations => "allocations",
            Self::SystemCalls => "system-calls",
            Self::Held => "held",
            Self::Object => "object",
            Self::Kernel => "kernel",
        }
    }

    /// What its figures are, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Instructions => "Instructions of an operation, counted by callgrind",
            Self::Allocations => "Allocations of an operation or packet",
            Self::SystemCalls => "System calls of a packet, with 32 packets in a batch",
            Self::Held => "Octets that are held, as asked of the allocator",
            Self::Object => "The XDP object, as it stands in the file",
            Self::Kernel => "The XDP object in the kernel",
        }
    }
}

/// All figures, and what they hold for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Instructions hold for this compiler.
    pub compiler: String,
    /// What the kernel makes of the object holds for this kernel, `major.minor`.
    pub kernel: String,
    /// Tables that were measured.
    pub tables: BTreeMap<Kind, Table>,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    recorded_for: RecordedFor,
    instructions: Table,
    allocations: Table,
    system_calls: Table,
    held: Table,
    object: Table,
    kernel: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedFor {
    compiler: String,
    kernel: String,
}

impl Figures {
    /// What was recorded; nothing if there is no file yet.
    ///
    /// # Errors
    /// The file is not what [`to_text`](Self::to_text) writes.
    pub fn read(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Self::from_text(&text).with_context(|| file.display().to_string())
    }

    fn from_text(text: &str) -> Result<Self> {
        let Document { recorded_for, instructions, allocations, system_calls, held, object, kernel } =
            toml::from_str(text)?;
        let tables = [instructions, allocations, system_calls, held, object, kernel];
        let tables = Kind::ALL.into_iter().zip(tables).collect();
        Ok(Self { compiler: recorded_for.compiler, kernel: recorded_for.kernel, tables })
    }

    /// One kind.
    pub fn table(&self, kind: Kind) -> &Table {
        static NONE: Table = Table::new();
        self.tables.get(&kind).unwrap_or(&NONE)
    }

    /// Why these figures, as recorded, say nothing about those that were measured here.
    pub fn foreign_to(&self, here: &Self, kind: Kind) -> Option<String> {
        let (recorded, here) = match kind {
            Kind::Instructions => (&self.compiler, &here.compiler),
            Kind::Kernel => (&self.kernel, &here.kernel),
            Kind::Allocations | Kind::SystemCalls | Kind::Held | Kind::Object => return None,
        };
        (recorded != here).then(|| format!("recorded for {recorded}, here is {here}"))
    }

    /// As the file has it.
    pub fn to_text(&self) -> String {
        let mut out = String::from(
            "# Written by `cargo run --profile gates -p raceway-gates -- --record`; docs/BENCHMARKS.md says more.\n\n",
        );
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let Self { compiler, kernel, .. } = self;
        let _ = write!(out, "[recorded-for]\ncompiler = {}\nkernel = {}\n", quoted(compiler), quoted(kernel));
        for kind in Kind::ALL {
            let _ = write!(out, "\n# {}\n[{}]\n", kind.title(), kind.key());
            for (scenario, figure) in self.table(kind) {
                let _ = writeln!(out, "{} = {}", quoted(scenario), rounded(*figure));
            }
        }
        out
    }

    /// What is recorded once `measured` is: what could not be measured stays as it was.
    pub fn updated_by(mut self, measured: Self) -> Self {
        if measured.tables.contains_key(&Kind::Kernel) || self.kernel.is_empty() {
            self.kernel = measured.kernel;
        }
        if measured.tables.contains_key(&Kind::Instructions) || self.compiler.is_empty() {
            self.compiler = measured.compiler;
        }
        self.tables.extend(measured.tables);
        self
    }
}

/// A figure with four digits that count: more would change with every record, and a gate does not look at them.
pub fn rounded(figure: f64) -> f64 {
    format!("{figure:.3e}").parse().expect("a number that was just written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let tables =
            Kind::ALL.map(|kind| (kind, Table::from([("a: \"b\"".to_owned(), 12.0), ("c".to_owned(), 0.015_63)])));
        Figures { compiler: "rustc 1".to_owned(), kernel: "6.1".to_owned(), tables: tables.into() }
    }

    #[test]
    fn what_is_recorded_reads_back() {
        assert_eq!(Figures::from_text(&figures().to_text()).unwrap(), figures());
    }

    #[test]
    fn what_could_not_be_measured_stays_recorded_for_what_it_was() {
        let mut here = figures();
        here.tables.remove(&Kind::Kernel);
        here.tables.insert(Kind::Object, Table::from([("new".to_owned(), 1.0)]));
        (here.compiler, here.kernel) = ("rustc 2".to_owned(), "6.2".to_owned());
        let updated = figures().updated_by(here.clone());
        assert_eq!((updated.compiler.as_str(), updated.kernel.as_str()), ("rustc 2", "6.1"));
        assert_eq!(updated.tables[&Kind::Kernel], figures().tables[&Kind::Kernel]);
        assert_eq!(updated.tables[&Kind::Object], here.tables[&Kind::Object]);
    }

    #[test]
    fn another_compiler_or_kernel_says_nothing_about_what_depends_on_it() {
        let here = Figures { compiler: "rustc 2".to_owned(), ..figures() };
        let foreign = Kind::ALL.into_iter().filter(|kind| figures().foreign_to(&here, *kind).is_some());
        assert_eq!(foreign.collect::<Vec<_>>(), [Kind::Instructions]);
        let here = Figures { kernel: "6.2".to_owned(), ..figures() };
        assert_eq!(figures().foreign_to(&here, Kind::Kernel).unwrap(), "recorded for 6.1, here is 6.2");
    }

    #[test]
    fn four_digits_count() {
        assert_eq!(
            [0.0, 0.031_25, 1.0625, 57_704.2, 26_259_504.0].map(rounded),
            [0.0, 0.031_25, 1.062, 57_700.0, 26_260_000.0]
        );
    }
}
