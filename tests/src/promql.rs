//! The part of PromQL that the rules of alerts are written in, over series that change evenly: so that what a rule says of
//! what our programs told is known on machines without promtool, too.
//!
//! What is not used in `ops/prometheus/alerts.yml` is not known here, and panics. Where a value stands in the middle of a range
//! Prometheus extrapolates, and so does this: a series that changes evenly has the same rate everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::vec::IntoIter;

use crate::monitoring::minutes;

/// Labels and their values, without the name of a metric.
pub(crate) type Labels = BTreeMap<String, String>;
/// Series with a value each.
pub(crate) type Vector = Vec<(Labels, f64)>;

/// How long the last sample of a series counts (Prometheus' `--query.lookback-delta`). Unit: minutes.
const LOOKBACK: u32 = 5;

/// A series with a sample each minute, from minute 0 on, that changes by the same each time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The name of the metric.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: Labels,
    /// The first sample.
    pub(crate) start: f64,
    /// By how much each sample is more than the one before.
    pub(crate) step: f64,
    /// The minute of the last sample.
    pub(crate) last: u32,
}

impl Series {
    #[cfg(test)]
    /// Reads a series in the notation of promtool: `name{label="value"}`, and `start`, a step and how many follow, such as `0+5x20`.
    pub(crate) fn read(series: &str, values: &str) -> Self {
        let wrong = format!("{series} {values} is not understood");
        let Expression::Series { name, matchers } = Expression::parse(series) else {
            panic!("{wrong}");
        };
        let labels = matchers.into_iter().map(|matcher| match matcher.how {
            Comparison::Equal => (matcher.label, matcher.value),
            Comparison::NotEqual | Comparison::OneOf | Comparison::NoneOf => {
                panic!("{series} is no series")
            }
        });
        let (evenly, last) = values.split_once('x').expect(&wrong);
        let sign = evenly
            .char_indices()
            .skip(1)
            .find(|(_, it)| ['+', '-'].contains(it));
        let (start, step) = evenly.split_at(sign.map_or(evenly.len(), |(at, _)| at));
        let number = |text: &str| text.parse::<f64>().expect(&wrong);
        Self {
            name,
            labels: labels.collect(),
            start: number(start),
            step: if step.is_empty() { 0.0 } else { number(step) },
            last: last.parse().expect(&wrong),
        }
    }

    /// In the notation of promtool: the series, and its values.
    pub(crate) fn notation(&self) -> (String, String) {
        let labels = self.labels.iter();
        let labels: Vec<_> = labels
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let Self {
            name,
            start,
            step,
            last,
            ..
        } = self;
        (
            format!("{name}{{{}}}", labels.join(",")),
            format!("{start}{step:+}x{last}"),
        )
    }

    fn at(&self, minute: u32) -> Option<f64> {
        let newest = minute.min(self.last);
        (minute - newest < LOOKBACK).then(|| self.start + self.step * f64::from(newest))
    }

    /// How much it grew each second, within so many minutes before; `None` with fewer than two samples.
    fn rate(&self, range: u32, minute: u32) -> Option<f64> {
        let first = (minute + 1).saturating_sub(range);
        (minute.min(self.last) > first).then_some(self.step / 60.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    OneOf,
    NoneOf,
}

/// What a label has to be. Of regular expressions there are alternatives of plain words alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matcher {
    label: String,
    how: Comparison,
    value: String,
}

impl Matcher {
    fn takes(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.label).map_or("", String::as_str);
        let is_one_of = || self.value.split('|').any(|it| it == found);
        match self.how {
            Comparison::Equal => found == self.value,
            Comparison::NotEqual => found != self.value,
            Comparison::OneOf => is_one_of(),
            Comparison::NoneOf => !is_one_of(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    And,
    Equal,
    Greater,
    Less,
    Minus,
    Or,
    Times,
}

impl Operator {
    fn of(token: &Token) -> Option<Self> {
        let (Token::Word(text) | Token::Sign(text)) = token else {
            return None;
        };
        match text.as_str() {
            "and" => Some(Self::And),
            "==" => Some(Self::Equal),
            ">" => Some(Self::Greater),
            "<" => Some(Self::Less),
            "-" => Some(Self::Minus),
            "or" => Some(Self::Or),
            "*" => Some(Self::Times),
            _ => None,
        }
    }

    /// What binds tighter has more.
    const fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal | Self::Greater | Self::Less => 3,
            Self::Minus => 4,
            Self::Times => 5,
        }
    }

    /// What comes of two numbers; `None` where they do not compare so.
    fn apply(self, one: f64, other: f64) -> Option<f64> {
        match self {
            Self::And => Some(one),
            Self::Equal => ((one - other).abs() < 1e-9).then_some(one),
            Self::Greater => (one > other).then_some(one),
            Self::Less => (one < other).then_some(one),
            Self::Minus => Some(one - other),
            Self::Or => panic!("`or` stands between series"),
            Self::Times => Some(one * other),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Max,
    Min,
    Sum,
}

/// An expression, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// A number.
    Number(f64),
    /// `time()`.
    Time,
    /// The series of a metric.
    Series {
        /// The name of the metric.
        name: String,
        /// What their labels have to be.
        matchers: Vec<Matcher>,
    },
    /// `rate(…[5m])`.
    Rate {
        /// Of which series.
        of: Box<Expression>,
        /// Within so many minutes.
        range: u32,
    },
    /// `increase(…[1h])`.
    Increase {
        /// Of which series.
        of: Box<Expression>,
        /// Within so many minutes.
        range: u32,
    },
    /// `abs(…)`.
    Absolute(Box<Expression>),
    /// `histogram_quantile(…, …)`.
    Quantile(f64, Box<Expression>),
    /// `max by (…) (…)` and the like.
    Aggregate {
        /// How.
        how: Aggregation,
        /// The labels that stay.
        by: Vec<String>,
        /// Of what.
        of: Box<Expression>,
    },
    /// Two, with an operator between them.
    Binary {
        /// On the left.
        left: Box<Expression>,
        /// Between them.
        operator: Operator,
        /// The labels that have to be the same; all of them where none are named.
        on: Option<Vec<String>>,
        /// On the right.
        right: Box<Expression>,
    },
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A number.
    Number(f64),
    /// Series with a value each.
    Vector(Vector),
}

impl Expression {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parser = Parser {
            text,
            tokens: tokens(text).into_iter().peekable(),
        };
        let expression = parser.binary(0);
        let left: Vec<_> = parser.tokens.collect();
        assert!(left.is_empty(), "{text}: {left:?} is not understood");
        expression
    }

    /// What it comes to in a minute.
    pub(crate) fn value(&self, series: &[Series], minute: u32) -> Value {
        match self {
            Self::Number(number) => Value::Number(*number),
            Self::Time => Value::Number(f64::from(minute) * 60.0),
            Self::Series { .. } => {
                let found = self
                    .series(series)
                    .filter_map(|it| it.1.at(minute).map(|value| (it.0, value)));
                Value::Vector(found.collect())
            }
            Self::Rate { of, range } => Value::Vector(of.rates(series, *range, minute)),
            Self::Increase { of, range } => {
                let seconds = 60.0 * f64::from(*range);
                let rates = of.rates(series, *range, minute).into_iter();
                let grown = rates.map(|(labels, rate)| (labels, rate * seconds));
                Value::Vector(grown.collect())
            }
            Self::Absolute(of) => {
                let found = of.vector(series, minute).into_iter();
                Value::Vector(found.map(|(labels, it)| (labels, it.abs())).collect())
            }
            Self::Quantile(part, of) => Value::Vector(quantiles(*part, of.vector(series, minute))),
            Self::Aggregate { how, by, of } => {
                Value::Vector(aggregate(*how, by, of.vector(series, minute)))
            }
            Self::Binary {
                left,
                operator,
                on,
                right,
            } => {
                let (left, right) = (left.value(series, minute), right.value(series, minute));
                combine(left, *operator, on.as_deref(), right)
            }
        }
    }

    /// The same where it comes to series.
    pub(crate) fn vector(&self, series: &[Series], minute: u32) -> Vector {
        match self.value(series, minute) {
            Value::Vector(vector) => vector,
            Value::Number(number) => panic!("{self:?} comes to {number}, and series are wanted"),
        }
    }

    /// How much the series that it selects grew each second, within so many minutes before.
    fn rates(&self, series: &[Series], range: u32, minute: u32) -> Vector {
        let found = self.series(series).filter_map(|(labels, it)| {
            let rate = it.rate(range, minute)?;
            Some((labels, rate))
        });
        found.collect()
    }

    /// The series that it selects, with their labels.
    fn series<'a>(&self, all: &'a [Series]) -> impl Iterator<Item = (Labels, &'a Series)> {
        let Self::Series { name, matchers } = self else {
            panic!("{self:?} selects no series");
        };
        all.iter().filter_map(move |it| {
            let is_meant = it.name == *name && matchers.iter().all(|its| its.takes(&it.labels));
            is_meant.then(|| (it.labels.clone(), it))
        })
    }
}

/// Those of these labels that are named.
fn only(labels: &Labels, named: &[String]) -> Labels {
    let mut labels = labels.clone();
    labels.retain(|label, _| named.contains(label));
    labels
}

fn aggregate(how: Aggregation, by: &[String], vector: Vector) -> Vector {
    let mut groups: BTreeMap<Labels, f64> = BTreeMap::new();
    for (labels, value) in vector {
        groups
            .entry(only(&labels, by))
            .and_modify(|so_far| {
                *so_far = match how {
                    Aggregation::Max => so_far.max(value),
                    Aggregation::Min => so_far.min(value),
                    Aggregation::Sum => *so_far + value,
                };
            })
            .or_insert(value);
    }
    groups.into_iter().collect()
}

/// The quantile of each histogram, as Prometheus has it: even within a bucket, and below the last bound at most.
fn quantiles(part: f64, vector: Vector) -> Vector {
    let mut histograms: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for (mut labels, count) in vector {
        let bound = labels.remove("le").and_then(|bound| bound.parse().ok());
        let bound: f64 = bound.expect("a bucket has a bound");
        histograms.entry(labels).or_default().push((bound, count));
    }
    let found = histograms.into_iter();
    found
        .filter_map(|(labels, buckets)| Some((labels, quantile(part, buckets)?)))
        .collect()
}

/// Of one histogram: its bounds, with what lies below each. `None` where it is empty.
fn quantile(part: f64, mut buckets: Vec<(f64, f64)>) -> Option<f64> {
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let rank = part * buckets.last()?.1;
    if rank <= 0.0 {
        return None;
    }
    let (mut from, mut before) = (0.0, 0.0);
    for (bound, count) in buckets {
        if count >= rank {
            let within = (bound - from) * (rank - before) / (count - before);
            return Some(if bound.is_finite() {
                from + within
            } else {
                from
            });
        }
        (from, before) = (bound, count);
    }
    None
}

fn combine(left: Value, operator: Operator, on: Option<&[String]>, right: Value) -> Value {
    let key = |labels: &Labels| on.map_or_else(|| labels.clone(), |on| only(labels, on));
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => {
            Value::Number(operator.apply(one, other).unwrap_or(f64::NAN))
        }
        (Value::Vector(left), Value::Number(other)) => {
            let left = left.into_iter();
            let kept = left.filter_map(|(labels, one)| Some((labels, operator.apply(one, other)?)));
            Value::Vector(kept.collect())
        }
        (Value::Number(one), Value::Vector(right)) => {
            let right = right.into_iter();
            let kept =
                right.filter_map(|(labels, other)| Some((labels, operator.apply(one, other)?)));
            Value::Vector(kept.collect())
        }
        (Value::Vector(mut left), Value::Vector(right)) if operator == Operator::Or => {
            let known: BTreeSet<Labels> = left.iter().map(|(labels, _)| key(labels)).collect();
            let more = right.into_iter();
            left.extend(more.filter(|(labels, _)| !known.contains(&key(labels))));
            Value::Vector(left)
        }
        (Value::Vector(left), Value::Vector(right)) => {
            let mut others: BTreeMap<Labels, f64> = BTreeMap::new();
            for (labels, other) in right {
                others.insert(key(&labels), other);
            }
            let kept = left.into_iter().filter_map(|(labels, one)| {
                let other = *others.get(&key(&labels))?;
                Some((labels, operator.apply(one, other)?))
            });
            Value::Vector(kept.collect())
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Number(f64),
    Text(String),
    Sign(String),
}

fn tokens(text: &str) -> Vec<Token> {
    const SIGNS: [&str; 16] = [
        "==", "!=", "=~", "!~", "=", ">", "<", "(", ")", "{", "}", "[", "]", ",", "-", "*",
    ];
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let ends = |goes_on: fn(char) -> bool| {
            let end = rest.find(|it: char| !goes_on(it));
            end.unwrap_or(rest.len())
        };
        let length = if first == '"' {
            let (inside, _) = rest[1..]
                .split_once('"')
                .unwrap_or_else(|| panic!("{text}: a string has no end"));
            all.push(Token::Text(inside.to_owned()));
            inside.len() + 2
        } else if first.is_ascii_digit() {
            let length = ends(|it| it.is_ascii_digit() || it == '.');
            let number = rest[..length].parse();
            all.push(Token::Number(number.unwrap_or_else(|_| {
                panic!("{text}: {rest} begins with no number")
            })));
            length
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = ends(|it| it.is_ascii_alphanumeric() || it == '_');
            all.push(Token::Word(rest[..length].to_owned()));
            length
        } else {
            let sign = SIGNS
                .iter()
                .find(|sign| rest.starts_with(**sign))
                .unwrap_or_else(|| panic!("{text}: {rest} is not understood"));
            all.push(Token::Sign((*sign).to_owned()));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    all
}

struct Parser<'text> {
    text: &'text str,
    tokens: Peekable<IntoIter<Token>>,
}

impl Parser<'_> {
    /// What binds at least so tightly.
    fn binary(&mut self, least: u8) -> Expression {
        let mut left = self.primary();
        while let Some(operator) = self.tokens.peek().and_then(Operator::of) {
            if operator.precedence() < least {
                break;
            }
            self.tokens.next();
            let on = self.is_word("on").then(|| self.names());
            let right = self.binary(operator.precedence() + 1);
            left = Expression::Binary {
                left: Box::new(left),
                operator,
                on,
                right: Box::new(right),
            };
        }
        left
    }

    fn primary(&mut self) -> Expression {
        match self.next() {
            Token::Number(number) => Expression::Number(number),
            Token::Sign(sign) if sign == "(" => {
                let inside = self.binary(0);
                self.takes(")");
                inside
            }
            Token::Word(word) => self.named(word),
            other @ (Token::Sign(_) | Token::Text(_)) => {
                panic!("{}: {other:?} is not understood", self.text)
            }
        }
    }

    /// What begins with a word.
    fn named(&mut self, word: String) -> Expression {
        match word.as_str() {
            "max" => self.aggregate(Aggregation::Max),
            "min" => self.aggregate(Aggregation::Min),
            "sum" => self.aggregate(Aggregation::Sum),
            "time" => {
                self.takes("(");
                self.takes(")");
                Expression::Time
            }
            "abs" => Expression::Absolute(Box::new(self.inside())),
            "rate" => {
                let (of, range) = self.ranged();
                Expression::Rate { of, range }
            }
            "increase" => {
                let (of, range) = self.ranged();
                Expression::Increase { of, range }
            }
            "histogram_quantile" => {
                self.takes("(");
                let Token::Number(part) = self.next() else {
                    panic!("{}: a quantile is a number", self.text);
                };
                self.takes(",");
                let of = Box::new(self.binary(0));
                self.takes(")");
                Expression::Quantile(part, of)
            }
            _ => self.selector(word),
        }
    }

    /// Series with a range behind them, in parentheses.
    fn ranged(&mut self) -> (Box<Expression>, u32) {
        self.takes("(");
        let of = Box::new(self.primary());
        self.takes("[");
        let (number, unit) = (self.next(), self.next());
        let (Token::Number(number), Token::Word(unit)) = (number, unit) else {
            panic!("{}: a range is not understood", self.text);
        };
        self.takes("]");
        self.takes(")");
        (of, minutes(&format!("{number}{unit}")))
    }

    fn aggregate(&mut self, how: Aggregation) -> Expression {
        let by = if self.is_word("by") {
            self.names()
        } else {
            Vec::new()
        };
        let of = Box::new(self.inside());
        Expression::Aggregate { how, by, of }
    }

    fn selector(&mut self, name: String) -> Expression {
        let mut matchers = Vec::new();
        if self.is("{") {
            while !self.is("}") {
                let (label, how, value) = (self.next(), self.next(), self.next());
                let (Token::Word(label), Token::Sign(how), Token::Text(value)) =
                    (label, how, value)
                else {
                    panic!("{}: a label is not understood", self.text);
                };
                let how = match how.as_str() {
                    "=" => Comparison::Equal,
                    "!=" => Comparison::NotEqual,
                    "=~" => Comparison::OneOf,
                    "!~" => Comparison::NoneOf,
                    _ => panic!("{}: {how} is not understood", self.text),
                };
                matchers.push(Matcher { label, how, value });
                self.is(",");
            }
        }
        Expression::Series { name, matchers }
    }

    fn inside(&mut self) -> Expression {
        self.takes("(");
        let inside = self.binary(0);
        self.takes(")");
        inside
    }

    /// Names in parentheses.
    fn names(&mut self) -> Vec<String> {
        self.takes("(");
        let mut names = Vec::new();
        while !self.is(")") {
            let Token::Word(name) = self.next() else {
                panic!("{}: a name is wanted", self.text);
            };
            names.push(name);
            self.is(",");
        }
        names
    }

    fn next(&mut self) -> Token {
        let next = self.tokens.next();
        next.unwrap_or_else(|| panic!("{} has no end", self.text))
    }

    fn takes(&mut self, sign: &str) {
        assert!(self.is(sign), "{}: {sign} is wanted", self.text);
    }

    /// Goes past a sign, if it is there.
    fn is(&mut self, sign: &str) -> bool {
        let there = self
            .tokens
            .next_if(|it| matches!(it, Token::Sign(found) if found == sign));
        there.is_some()
    }

    /// Goes past a word, if it is there.
    fn is_word(&mut self, word: &str) -> bool {
        let there = self
            .tokens
            .next_if(|it| matches!(it, Token::Word(found) if found == word));
        there.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Expression, Series};

    #[test]
    fn alternatives_are_all_of_the_left_and_what_only_the_right_has() {
        let all = [
            ("a{x=\"1\"}", "1x30"),
            ("a{x=\"2\"}", "2x30"),
            ("b{x=\"2\"}", "20x30"),
            ("b{x=\"3\",y=\"4\"}", "30x30"),
            ("b{x=\"1\",y=\"4\"}", "40x30"),
            ("c_total", "5+2x30"),
        ];
        let all = all.map(|(series, values)| Series::read(series, values));
        let cases: [(&str, &[f64]); 14] = [
            // the expression → its values at minute 20, sorted
            ("a or b", &[1.0, 2.0, 30.0, 40.0]),
            ("b or a", &[1.0, 20.0, 30.0, 40.0]),
            ("a or on (x) b", &[1.0, 2.0, 30.0]),
            ("a or nothing", &[1.0, 2.0]),
            ("nothing or a", &[1.0, 2.0]),
            ("a > 1 or b > 25", &[2.0, 30.0, 40.0]),
            // What `and` stands between belongs together more closely.
            ("a or b and b", &[1.0, 2.0, 30.0, 40.0]),
            ("a and b or b", &[2.0, 30.0, 40.0]),
            ("(a or b) and b", &[2.0, 30.0, 40.0]),
            ("max(a) > max(b) or sum(a) > 2", &[3.0]),
            ("max(b) > max(a) or sum(a) > 2", &[40.0]),
            ("increase(c_total[10m])", &[20.0]),
            ("sum(increase(c_total[1h])) > 0", &[120.0]),
            ("sum(increase(a[1h])) > 0", &[]),
        ];
        for (text, wanted) in cases {
            let found = Expression::parse(text).vector(&all, 20);

            let mut values: Vec<f64> = found.into_iter().map(|(_, value)| value).collect();
            values.sort_by(f64::total_cmp);
            let equal = values.len() == wanted.len()
                && values
                    .iter()
                    .zip(wanted)
                    .all(|(is, shall)| (is - shall).abs() < 1e-9);
            assert!(equal, "{text}: {values:?}");
        }
    }
}
