//! The grammar of pipeline statements, over tokens.
//!
//! Pure. Every parser that does not find what it wants notes that in the [`Trail`]; the place that was
//! reached furthest, with everything that was wanted there, is the error.

mod alter;
mod clauses;

use std::cell::RefCell;

use winnow::Parser;
use winnow::combinator::{alt, opt, preceded, separated};
use winnow::error::EmptyError;
use winnow::stream::{Stateful, Stream as _, TokenSlice};

use super::error::Syntax;
use super::lex::{Kind, Piece, Token};
use super::statement::{
    Assignment, Clauses, Create, How, Json, Load, SourceWord, Statement, Which,
};
use crate::pipeline::{self, nearest};
use alter::alter;
use clauses::{clause, unsupported_clause};

/// Rows that TEST PIPELINE shows without LIMIT.
const TEST_ROWS: u64 = 1;

/// Most rows that TEST PIPELINE shows. Why 10,000: they are kept in memory and read by a person.
const TEST_ROWS_MAX: u64 = 10_000;

/// What was wanted where, furthest in the statement.
#[derive(Debug, Default)]
struct Trail {
    /// Tokens that were left.
    left: usize,
    wanted: Vec<&'static str>,
    /// A token that was understood and cannot be: where, and why.
    refused: Option<(usize, String)>,
}

type Notes<'n> = &'n RefCell<Trail>;
type Input<'t, 'n> = Stateful<TokenSlice<'t, Token<'t>>, Notes<'n>>;
type Parsed<T> = Result<T, EmptyError>;

/// Reads a statement of the harness's own.
///
/// # Errors
/// Where it could not be read, and what was expected there.
pub(crate) fn parse(piece: &Piece<'_>) -> Result<Statement, Syntax> {
    let trail = RefCell::new(Trail { left: usize::MAX, ..Trail::default() });
    let mut input = Input { input: TokenSlice::new(&piece.tokens), state: &trail };
    let parsed = statement(&mut input).and_then(|statement| end(&mut input).map(|()| statement));
    match parsed {
        Ok(statement) if trail.borrow().refused.is_none() => Ok(statement),
        Ok(_) | Err(EmptyError) => Err(trail.into_inner().error(piece)),
    }
}

impl Trail {
    fn error(self, piece: &Piece<'_>) -> Syntax {
        if let Some((at, message)) = self.refused {
            return Syntax { at, message };
        }
        let found = piece.tokens.len().checked_sub(self.left).and_then(|at| piece.tokens.get(at));
        let mut wanted = self.wanted;
        wanted.dedup();
        let expected = match wanted.as_slice() {
            [] => "nothing more".to_owned(),
            [one] => (*one).to_owned(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        };
        let Some(found) = found else {
            let at = piece.at + piece.text.len();
            return Syntax { at, message: format!("expected {expected}, but the statement ends") };
        };
        let keywords = wanted.iter().copied().filter(|word| !word.contains(' '));
        let near = match found.kind {
            Kind::Word => nearest(&found.text.to_ascii_uppercase(), keywords),
            Kind::Quoted | Kind::Text | Kind::Number | Kind::Symbol => None,
        };
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let message = format!("expected {expected}, found {}{hint}", shown(found));
        Syntax { at: found.at, message }
    }
}

/// A token as an error names it; what stands in quotes may be a secret.
fn shown(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Text => "a string".to_owned(),
        Kind::Word | Kind::Quoted | Kind::Number | Kind::Symbol => {
            token.text.chars().take(64).map(|c| if c.is_control() { ' ' } else { c }).collect()
        }
    }
}

/// Notes what was wanted at this place.
fn missed<T>(input: &Input<'_, '_>, wanted: &'static str) -> Parsed<T> {
    let left = input.eof_offset();
    let mut trail = input.state.borrow_mut();
    if left < trail.left {
        trail.left = left;
        trail.wanted.clear();
    }
    if left == trail.left && !trail.wanted.contains(&wanted) {
        trail.wanted.push(wanted);
    }
    Err(EmptyError)
}

/// Notes why what stands here cannot be; the first reason is the one that is told.
fn refuse<T>(input: &Input<'_, '_>, at: usize, message: String) -> Parsed<T> {
    input.state.borrow_mut().refused.get_or_insert((at, message));
    Err(EmptyError)
}

fn next<'t>(
    input: &mut Input<'t, '_>,
    wanted: &'static str,
    fits: impl Fn(&Token<'t>) -> bool,
) -> Parsed<Token<'t>> {
    match input.peek_token().copied() {
        Some(token) if fits(&token) => {
            input.next_token();
            Ok(token)
        }
        _ => missed(input, wanted),
    }
}

/// One keyword or symbol.
fn word<'t, 'n>(name: &'static str) -> impl Parser<Input<'t, 'n>, Token<'t>, EmptyError> {
    move |input: &mut Input<'t, 'n>| next(input, name, |token| token.is(name))
}

/// Several keywords, one behind the other.
fn words<'t, 'n>(names: &'static [&'static str]) -> impl Parser<Input<'t, 'n>, (), EmptyError> {
    move |input: &mut Input<'t, 'n>| {
        names.iter().try_for_each(|name| word(name).void().parse_next(input))
    }
}

/// A word that begins what is documented and not done here yet, and what to do instead.
type Absent = (&'static str, &'static str);

/// Refuses what begins with one of these words. None of them is named among what was expected.
fn unsupported<'t, 'n, T>(absent: &'static [Absent]) -> impl Parser<Input<'t, 'n>, T, EmptyError> {
    move |input: &mut Input<'t, 'n>| {
        let Some(token) = input.peek_token().copied() else { return Err(EmptyError) };
        match absent.iter().find(|(name, _)| token.is(name)) {
            Some((name, instead)) => {
                refuse(input, token.at, format!("{name} is not supported yet{instead}"))
            }
            None => Err(EmptyError),
        }
    }
}

fn end(input: &mut Input<'_, '_>) -> Parsed<()> {
    if input.eof_offset() == 0 { Ok(()) } else { missed(input, "the end of the statement") }
}

fn text<'t>(wanted: &'static str) -> impl Fn(&mut Input<'t, '_>) -> Parsed<Token<'t>> {
    move |input| next(input, wanted, |token| token.kind == Kind::Text)
}

fn name(input: &mut Input<'_, '_>) -> Parsed<String> {
    let fits = |token: &Token<'_>| matches!(token.kind, Kind::Word | Kind::Quoted);
    next(input, "a name", fits).map(|token| token.value())
}

fn json(input: &mut Input<'_, '_>) -> Parsed<Json> {
    let token = text("a string with a JSON object").parse_next(input)?;
    Ok(Json { text: token.value(), at: token.at + 1 })
}

/// A whole number of a range.
fn number<'t>(min: u64, max: u64) -> impl Fn(&mut Input<'t, '_>) -> Parsed<u64> {
    move |input| {
        let token = next(input, "a whole number", |token| token.kind == Kind::Number)?;
        match token.text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            Ok(_) | Err(_) => {
                let message = format!("expected a whole number from {min} to {max}");
                refuse(input, token.at, message)
            }
        }
    }
}

/// A number in the range of a key of pipeline files.
fn number_of<'t>(key: &'static str) -> impl Fn(&mut Input<'t, '_>) -> Parsed<u64> {
    move |input| match pipeline::key(key).map(|key| key.kind) {
        Some(pipeline::Kind::Number { min, max, .. }) => number(min, max).parse_next(input),
        _ => missed(input, key),
    }
}

fn switch(input: &mut Input<'_, '_>) -> Parsed<bool> {
    alt((word("ON").value(true), word("OFF").value(false))).parse_next(input)
}

fn statement(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    const BATCHES: &str = ": look at information_schema.PIPELINES_BATCHES_SUMMARY";
    let rest = alt((
        preceded(words(&["CLEAR", "PIPELINE", "ERRORS"]), |_: &mut Input<'_, '_>| {
            Ok(Statement::ClearErrors)
        }),
        preceded(words(&["INFER", "PIPELINE", "AS"]), |input: &mut Input<'_, '_>| {
            load(input, true).map(|load| Statement::Infer(Box::new(load)))
        }),
        preceded(words(&["DETACH", "PIPELINE"]), detach),
        preceded(
            (word("FLUSH"), opt(word("NODE")), words(&["EXTRACTOR", "POOLS"])),
            |_: &mut Input<'_, '_>| Ok(Statement::FlushExtractors),
        ),
        unsupported(&[("PROFILE", BATCHES)]),
    ));
    alt((
        preceded(words(&["SET", "GLOBAL"]), set_global),
        preceded(word("SHOW"), show),
        preceded(word("CREATE"), create),
        preceded(word("START"), start),
        preceded(word("STOP"), stop),
        preceded(words(&["TEST", "PIPELINE"]), test),
        preceded(words(&["ALTER", "PIPELINE"]), alter),
        preceded(words(&["DROP", "PIPELINE"]), drop_pipeline),
        rest,
    ))
    .parse_next(input)
}

fn set_global(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    separated(1.., assignment, word(",")).map(Statement::SetGlobal).parse_next(input)
}

fn assignment(input: &mut Input<'_, '_>) -> Parsed<Assignment> {
    let token = next(input, "the name of a variable", |token| token.kind == Kind::Word)?;
    word("=").parse_next(input)?;
    let fits = |token: &Token<'_>| {
        matches!(token.kind, Kind::Word | Kind::Text | Kind::Number) && !token.text.contains('@')
    };
    let value = next(input, "a value", fits)?.value();
    Ok(Assignment { name: token.text.to_ascii_lowercase(), value, at: token.at })
}

fn show(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let like = |input: &mut Input<'_, '_>| {
        let like = opt(preceded(word("LIKE"), text("a string"))).parse_next(input)?;
        Ok(Statement::ShowVariables { like: like.map(|token| token.value()) })
    };
    alt((
        preceded((opt(alt((word("GLOBAL"), word("SESSION")))), word("VARIABLES")), like),
        word("PIPELINES").value(Statement::ShowPipelines),
        preceded(words(&["CREATE", "PIPELINE"]), name).map(|name| Statement::ShowCreate { name }),
        unsupported(&[("PROFILE", ": look at information_schema.PIPELINES_BATCHES_SUMMARY")]),
    ))
    .parse_next(input)
}

fn create(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let or_replace = opt(words(&["OR", "REPLACE"])).parse_next(input)?.is_some();
    let is_inferred = opt(word("INFERRED")).parse_next(input)?.is_some();
    opt(word("AGGREGATOR")).parse_next(input)?;
    word("PIPELINE").parse_next(input)?;
    let at = input.peek_token().map_or(0, |token| token.at);
    let if_not_exists = opt(words(&["IF", "NOT", "EXISTS"])).parse_next(input)?.is_some();
    if or_replace && if_not_exists {
        return refuse(input, at, "OR REPLACE and IF NOT EXISTS exclude each other".to_owned());
    }
    let name = name(input)?;
    let force = opt(word("FORCE")).parse_next(input)?.is_some();
    word("AS").parse_next(input)?;
    let load = load(input, is_inferred)?;
    let create = Create { name, or_replace, if_not_exists, force, is_inferred, load };
    Ok(Statement::Create(Box::new(create)))
}

/// `LOAD DATA …`; a pipeline whose table is inferred names none.
fn load(input: &mut Input<'_, '_>, is_inferred: bool) -> Parsed<Load> {
    words(&["LOAD", "DATA"]).parse_next(input)?;
    let source = source(input)?;
    let target = text("a string").parse_next(input)?.value();
    let mut config = None;
    let mut credentials = None;
    let mut clauses = Clauses::default();
    let mut table = None;
    let mut has_format = false;
    loop {
        // Each may be given once, in any order, as people write them.
        if config.is_none() && opt(word("CONFIG")).parse_next(input)?.is_some() {
            config = Some(json(input)?);
        } else if credentials.is_none() && opt(word("CREDENTIALS")).parse_next(input)?.is_some() {
            credentials = Some(json(input)?);
        } else if table.is_none() && !is_inferred && opt(word("INTO")).parse_next(input)?.is_some()
        {
            opt(unsupported::<()>(&[("PROCEDURE", "; use INTO TABLE")])).parse_next(input)?;
            word("TABLE").parse_next(input)?;
            table = Some(name(input)?);
        } else if !has_format && opt(word("FORMAT")).parse_next(input)?.is_some() {
            format(input, source)?;
            has_format = true;
        } else if let Some(more) = opt(clause).parse_next(input)? {
            clauses = more.over(clauses);
        } else {
            opt(unsupported_clause).parse_next(input)?;
            break;
        }
    }
    if input.state.borrow().refused.is_some() || !has_format || table.is_none() && !is_inferred {
        return Err(EmptyError);
    }
    Ok(Load { source, target, config, credentials, clauses, table })
}

fn source(input: &mut Input<'_, '_>) -> Parsed<SourceWord> {
    const THERE_ARE: &str = "; there are KAFKACONNECT, CONNECTOR and KAFKA";
    alt((
        word("KAFKACONNECT").value(SourceWord::KafkaConnect),
        word("CONNECTOR").value(SourceWord::Connector),
        word("KAFKA").value(SourceWord::Kafka),
        unsupported(&[
            ("S3", THERE_ARE),
            ("FS", THERE_ARE),
            ("AZURE", THERE_ARE),
            ("GCS", THERE_ARE),
            ("HDFS", THERE_ARE),
            ("LINK", THERE_ARE),
            ("MONGODB", THERE_ARE),
            ("MYSQL", THERE_ARE),
        ]),
    ))
    .parse_next(input)
}

/// The one format that this kind of source takes.
fn format(input: &mut Input<'_, '_>, source: SourceWord) -> Parsed<()> {
    let wanted = source.format();
    if opt(word(wanted)).parse_next(input)?.is_some() {
        return Ok(());
    }
    let Some(token) = input.peek_token().copied().filter(|token| token.kind == Kind::Word) else {
        return Err(EmptyError);
    };
    let message =
        format!("LOAD DATA {} needs FORMAT {wanted}, not {}", source.as_str(), shown(&token));
    refuse(input, token.at, message)
}

fn start(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let (which, is_lenient) = which(input, &["IF", "NOT", "RUNNING"], true)?;
    let mut how = How::Background;
    if matches!(which, Which::One(_)) && opt(word("FOREGROUND")).parse_next(input)?.is_some() {
        let limit = (word("LIMIT"), number(1, u64::MAX), word("BATCHES")).map(|it| it.1);
        how = How::Foreground { batches: opt(limit).parse_next(input)? };
    }
    Ok(Statement::Start { which, is_lenient, how })
}

fn stop(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let (which, is_lenient) = which(input, &["IF", "RUNNING"], false)?;
    let is_one = matches!(which, Which::One(_));
    let is_detached = is_one && opt(word("DETACH")).parse_next(input)?.is_some();
    Ok(Statement::Stop { which, is_lenient, is_detached })
}

fn detach(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let if_exists = opt(words(&["IF", "EXISTS"])).parse_next(input)?.is_some();
    Ok(Statement::Detach { name: name(input)?, if_exists })
}

/// `PIPELINE [condition] name`, `ALL PIPELINES` or `FAILED PIPELINES`.
fn which(
    input: &mut Input<'_, '_>,
    condition: &'static [&'static str],
    has_failed: bool,
) -> Parsed<(Which, bool)> {
    if opt(words(&["ALL", "PIPELINES"])).parse_next(input)?.is_some() {
        return Ok((Which::All, true));
    }
    if has_failed && opt(words(&["FAILED", "PIPELINES"])).parse_next(input)?.is_some() {
        return Ok((Which::Failed, true));
    }
    word("PIPELINE").parse_next(input)?;
    let is_lenient = opt(words(condition)).parse_next(input)?.is_some();
    Ok((Which::One(name(input)?), is_lenient))
}

fn test(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let name = name(input)?;
    let limit = opt(preceded(word("LIMIT"), number(1, TEST_ROWS_MAX))).parse_next(input)?;
    Ok(Statement::Test { name, limit: limit.unwrap_or(TEST_ROWS) })
}

fn drop_pipeline(input: &mut Input<'_, '_>) -> Parsed<Statement> {
    let if_exists = opt(words(&["IF", "EXISTS"])).parse_next(input)?.is_some();
    Ok(Statement::Drop { name: name(input)?, if_exists })
}

#[cfg(test)]
mod tests;
