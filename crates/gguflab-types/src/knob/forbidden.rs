//! Rules of the user's own: combinations of settings that are never run.
//!
//! A rule is an expression over knobs: comparisons (`=`, `!=`, `<`, `<=`, `>`, `>=`) of a knob with a value, joined
//! by `and`, `or` and `not`, with parentheses; `gpu-layers >= 32 and not (flash-attention = off)`. A knob that is
//! not set stands for what it comes to ([`Configuration::meant`]); where that cannot be told from outside it equals
//! `auto` and is neither more nor less than any number.

use super::Facts;
use crate::configuration::Configuration;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How deep parentheses and `not` may be nested.
const DEEPEST: usize = 64;
/// The longest rule, in bytes.
const LONGEST: usize = 10_000;

/// A combination of settings that is never run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Forbidden {
    text: String,
    why: String,
    expression: Expression,
}

/// A rule as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    forbid: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    why: String,
}

/// What is wrong with a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// Column of the expression, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

impl std::fmt::Display for RuleFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "column {}: {}", self.column, self.problem)
    }
}

impl TryFrom<Written> for Forbidden {
    type Error = String;

    fn try_from(written: Written) -> Result<Forbidden, String> {
        Forbidden::parse(&written.forbid, &written.why).map_err(|fault| fault.to_string())
    }
}

impl From<Forbidden> for Written {
    fn from(rule: Forbidden) -> Written {
        Written { forbid: rule.text, why: rule.why }
    }
}

impl Forbidden {
    /// Reads a rule; `why` is shown where it forbids something, and may be empty.
    ///
    /// # Errors
    /// Where the expression cannot be read.
    pub fn parse(text: &str, why: &str) -> Result<Forbidden, RuleFault> {
        if text.len() > LONGEST {
            let problem = format!("the rule has {} bytes, more than {LONGEST}", text.len());
            return Err(RuleFault { column: 1, problem });
        }
        let mut reader = Reader { tokens: tokens(text)?, at: 0, end: text.chars().count() + 1 };
        let expression = reader.either(0)?;
        match reader.tokens.get(reader.at) {
            None => Ok(Forbidden { text: text.to_string(), why: why.to_string(), expression }),
            Some(token) => Err(token.fault("`and`, `or` or the end belongs here")),
        }
    }

    /// Checks that its knobs are there and can have its values.
    ///
    /// # Errors
    /// Where a knob or value is wrong.
    pub fn check(&self, facts: &Facts) -> Result<(), RuleFault> {
        self.expression.check(facts)
    }

    /// Whether it forbids a configuration.
    #[must_use]
    pub fn forbids(&self, configuration: &Configuration, facts: &Facts) -> bool {
        self.expression.holds(configuration, facts)
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why it is there; may be empty.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// The rules that hold in a search. Clones are cheap.
pub type ForbiddenList = Arc<[Forbidden]>;

#[derive(Debug, Clone, PartialEq)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Compare { knob: String, column: usize, sign: Sign, value: Value },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sign {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Longer signs before their beginnings.
const SIGNS: [(&str, Sign); 7] = [
    ("==", Sign::Equal),
    ("!=", Sign::Unequal),
    ("<=", Sign::AtMost),
    (">=", Sign::AtLeast),
    ("=", Sign::Equal),
    ("<", Sign::Less),
    (">", Sign::More),
];

impl Expression {
    fn holds(&self, configuration: &Configuration, facts: &Facts) -> bool {
        match self {
            Expression::All(parts) => parts.iter().all(|part| part.holds(configuration, facts)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(configuration, facts)),
            Expression::Not(part) => !part.holds(configuration, facts),
            Expression::Compare { knob, sign, value, .. } => {
                compare(&stands_for(knob, configuration, facts), *sign, value)
            }
        }
    }

    fn check(&self, facts: &Facts) -> Result<(), RuleFault> {
        match self {
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().try_for_each(|part| part.check(facts))
            }
            Expression::Not(part) => part.check(facts),
            Expression::Compare { knob, column, sign, value } => {
                let fault = |problem: String| RuleFault { column: *column, problem };
                let Some(known) = facts.knob(knob) else {
                    let tried = Configuration::new().with(knob, Value::Integer(1)).checked(facts);
                    return Err(fault(tried.err().unwrap_or_else(|| format!("unknown knob `{knob}`"))));
                };
                match (sign, value.as_number()) {
                    (Sign::Equal | Sign::Unequal, _) => known.check(value).map(drop).map_err(fault),
                    (_, Some(_)) if known.ordered => Ok(()),
                    (_, Some(_)) => Err(fault(format!("knob {knob} has no order: compare it with = or !="))),
                    (_, None) => Err(fault(format!("`{value}` is no number: compare it with = or !="))),
                }
            }
        }
    }
}

/// What a knob comes to. Flash attention that is left to llama.cpp is on wherever it can be.
fn stands_for(knob: &str, configuration: &Configuration, facts: &Facts) -> Value {
    match configuration.meant(knob, facts) {
        Value::Auto if knob == "flash-attention" && facts.table_knob(knob).is_some() => {
            Value::Text("on".to_string())
        }
        meant => meant,
    }
}

fn compare(meant: &Value, sign: Sign, value: &Value) -> bool {
    let order = match (meant.as_number(), value.as_number()) {
        (Some(one), Some(other)) => one.partial_cmp(&other),
        _ => None,
    };
    let equal = || order.map_or_else(|| meant.to_string() == value.to_string(), std::cmp::Ordering::is_eq);
    match sign {
        Sign::Equal => equal(),
        Sign::Unequal => !equal(),
        Sign::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Sign::AtMost => order.is_some_and(std::cmp::Ordering::is_le),
        Sign::More => order.is_some_and(std::cmp::Ordering::is_gt),
        Sign::AtLeast => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

#[derive(Debug, Clone)]
struct Token {
    column: usize,
    kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
enum TokenKind {
    Word(String),
    Quoted(String),
    Sign(Sign),
    Open,
    Close,
}

impl Token {
    fn fault(&self, problem: &str) -> RuleFault {
        RuleFault { column: self.column, problem: problem.to_string() }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, RuleFault> {
    let signs: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(&sign) = signs.get(at) {
        let column = at + 1;
        let (kind, length) = match sign {
            _ if sign.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => (TokenKind::Open, 1),
            ')' => (TokenKind::Close, 1),
            '"' | '\'' => quoted(&signs[at..])
                .ok_or_else(|| RuleFault { column, problem: format!("the quote {sign} has no end") })?,
            _ => sign_or_word(&signs[at..]).ok_or_else(|| RuleFault {
                column,
                problem: format!(
                    "`{sign}` means nothing here: write knobs, values, = != < <= > >=, and, or, not"
                ),
            })?,
        };
        found.push(Token { column, kind });
        at += length;
    }
    Ok(found)
}

fn quoted(rest: &[char]) -> Option<(TokenKind, usize)> {
    let end = rest.iter().skip(1).position(|sign| *sign == rest[0])?;
    Some((TokenKind::Quoted(rest[1..=end].iter().collect()), end + 2))
}

fn sign_or_word(rest: &[char]) -> Option<(TokenKind, usize)> {
    let starts = |text: &str| text.chars().enumerate().all(|(place, sign)| rest.get(place) == Some(&sign));
    if let Some((text, sign)) = SIGNS.iter().find(|(text, _)| starts(text)) {
        return Some((TokenKind::Sign(*sign), text.len()));
    }
    let inside = |sign: &&char| sign.is_alphanumeric() || "-_.:/+%*".contains(**sign);
    let word: String = rest.iter().take_while(inside).collect();
    let length = word.chars().count();
    (length > 0).then_some((TokenKind::Word(word), length))
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    end: usize,
}

impl Reader {
    fn next(&mut self, wanted: &str) -> Result<Token, RuleFault> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
            .ok_or_else(|| RuleFault { column: self.end, problem: format!("{wanted} is missing at the end") })
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = matches!(self.tokens.get(self.at), Some(Token { kind: TokenKind::Word(next), .. }) if next == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn either(&mut self, depth: usize) -> Result<Expression, RuleFault> {
        let mut parts = vec![self.all(depth)?];
        while self.takes("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, RuleFault> {
        let mut parts = vec![self.single(depth)?];
        while self.takes("and") {
            parts.push(self.single(depth)?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn single(&mut self, depth: usize) -> Result<Expression, RuleFault> {
        if self.takes("not") {
            self.check_depth(depth)?;
            return Ok(Expression::Not(Box::new(self.single(depth + 1)?)));
        }
        let token = self.next("a comparison")?;
        match token.kind {
            TokenKind::Open => {
                self.check_depth(depth)?;
                let inner = self.either(depth + 1)?;
                match self.next("`)`")? {
                    Token { kind: TokenKind::Close, .. } => Ok(inner),
                    other => Err(other.fault("`)`, `and` or `or` belongs here")),
                }
            }
            TokenKind::Word(ref knob) if !matches!(knob.as_str(), "and" | "or") => {
                self.comparison(knob.clone(), token.column)
            }
            _ => Err(token.fault("the name of a knob belongs here")),
        }
    }

    fn comparison(&mut self, knob: String, column: usize) -> Result<Expression, RuleFault> {
        let sign = match self.next("a sign such as = or >=")? {
            Token { kind: TokenKind::Sign(sign), .. } => sign,
            other => return Err(other.fault("a sign belongs here: = != < <= > or >=")),
        };
        let value = match self.next("a value")? {
            Token { kind: TokenKind::Word(word), .. } => Value::parse(&word),
            Token { kind: TokenKind::Quoted(text), .. } => Value::Text(text),
            other => return Err(other.fault("a value belongs here")),
        };
        Ok(Expression::Compare { knob, column, sign, value })
    }

    fn check_depth(&self, depth: usize) -> Result<(), RuleFault> {
        let column = self.tokens.get(self.at).map_or(self.end, |token| token.column);
        let problem = format!("parentheses and `not` are nested more than {DEEPEST} deep");
        if depth < DEEPEST { Ok(()) } else { Err(RuleFault { column, problem }) }
    }
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { physical_cores: 4, logical_cores: 8, gpus: 1, layers: 32, ..Facts::default() }
    }

    fn configuration(text: &str) -> Configuration {
        text.split_whitespace().fold(Configuration::new(), |made, part| {
            let (name, value) = part.split_once('=').unwrap();
            let value = facts().knob(name).unwrap().check(&Value::parse(value)).unwrap();
            made.with(name, value)
        })
    }

    #[test]
    fn rules_forbid_what_they_say() {
        for (rule, settings, forbidden) in [
            ("gpu-layers>=32 and flash-attention=on and batch>=8", "gpu-layers=32", true),
            (
                "gpu-layers>=32 and flash-attention=on and batch>=8",
                "gpu-layers=32 flash-attention=off",
                false,
            ),
            ("gpu-layers>=32 and flash-attention=on and batch>=8", "gpu-layers=31", false),
            ("gpu-layers>=32 and flash-attention=on and batch>=8", "gpu-layers=40 batch=4", false),
            ("gpu-layers >= 32", "", false),
            ("gpu-layers = auto", "", true),
            ("gpu-layers != auto", "gpu-layers=3", true),
            ("threads > 4 or batch < 128 and not ubatch = 64", "batch=64 ubatch=64", false),
            ("threads > 4 or batch < 128 and not ubatch = 64", "batch=64 ubatch=32", true),
            ("(threads > 4 or batch < 128) and not ubatch = 64", "threads=8 ubatch=64", false),
            ("threads>4", "", false),
            ("threads=4", "", true),
            ("threads-batch==8", "threads=8", true),
            ("not not kv-offload = on", "", true),
            ("env:GGML_X = 1", "env:GGML_X=1", true),
            ("tensor-overrides = \"ffn_.*=CPU\"", "tensor-overrides=ffn_.*=CPU", true),
        ] {
            let rule = Forbidden::parse(rule, "").unwrap();
            assert_eq!(rule.check(&facts()), Ok(()), "{}", rule.text());
            assert_eq!(
                rule.forbids(&configuration(settings), &facts()),
                forbidden,
                "{} of {settings}",
                rule.text()
            );
        }
    }

    #[test]
    fn faults_point_at_their_column() {
        for (rule, column, problem) in [
            ("", 1, "a comparison is missing"),
            ("threads", 8, "a sign such as"),
            ("threads=", 9, "a value is missing"),
            ("threads 4", 9, "a sign belongs here"),
            ("threads=4 batch=8", 11, "`and`, `or` or the end"),
            ("(threads=4", 11, "`)` is missing"),
            ("(threads=4 batch=3)", 12, "`)`, `and` or `or`"),
            ("threads=4 and", 14, "a comparison is missing"),
            ("threads=4 and or batch=1", 15, "the name of a knob"),
            ("threads & 4", 9, "`&` means nothing here"),
            ("threads = 'x", 11, "has no end"),
            ("batch=1 and threds=4", 13, "did you mean `threads`?"),
            ("flash-attention > 3", 1, "has no order"),
            ("threads > many", 1, "`many` is no number"),
            ("flash-attention = maybe", 1, "one of on, off"),
        ] {
            let fault = Forbidden::parse(rule, "").and_then(|rule| rule.check(&facts())).unwrap_err();
            assert_eq!(fault.column, column, "{rule}: {fault}");
            assert!(fault.problem.contains(problem), "{rule}: {fault}");
        }
        let deep = format!("{}threads=1{}", "(".repeat(100), ")".repeat(100));
        assert!(Forbidden::parse(&deep, "").unwrap_err().problem.contains("nested"));
        assert!(Forbidden::parse(&"not ".repeat(2500), "").is_err());
        assert!(Forbidden::parse(&" ".repeat(20_000), "").unwrap_err().problem.contains("more than 10000"));
    }

    #[test]
    fn rules_are_stored_as_they_were_written() {
        let rule = Forbidden::parse("threads > 4", "it gets hot").unwrap();
        let text = serde_json::to_string(&rule).unwrap();
        assert_eq!(text, r#"{"forbid":"threads > 4","why":"it gets hot"}"#);
        assert_eq!(serde_json::from_str::<Forbidden>(&text).unwrap(), rule);
        assert!(serde_json::from_str::<Forbidden>(r#"{"forbid":"threads >"}"#).is_err());
    }
}
