//! Go's template language, parsed: text, actions, pipelines.
//!
//! <https://pkg.go.dev/text/template>. Nesting is bounded; what is no template is an error that says its line.

use super::lex::{Piece, Token, pieces};

/// Deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 100;

/// A node of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If { branches: Vec<(Pipeline, Vec<Node>)>, otherwise: Vec<Node> },
    With { branches: Vec<(Pipeline, Vec<Node>)>, otherwise: Vec<Node> },
    Range { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    Template { name: String, with: Option<Pipeline> },
    Break,
    Continue,
}

/// Commands, each given the result of the one before as its last argument.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipeline {
    /// Variables that are set, by `:=` or (`assign`) `=`.
    pub variables: Vec<String>,
    pub assign: bool,
    pub commands: Vec<Vec<Operand>>,
}

/// A word of a command.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    /// A function's name.
    Function(String),
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    /// `(…).a.b`
    Parenthesis(Pipeline, Vec<String>),
}

/// A parsed file: what it prints and what it defines.
#[derive(Debug, Default)]
pub(super) struct File {
    pub body: Vec<Node>,
    pub defined: Vec<(String, Vec<Node>)>,
}

/// Parses a file.
pub(super) fn parse(text: &str) -> Result<File, String> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter(), defined: Vec::new(), line: 1 };
    let (body, end) = parser.block(0)?;
    match end {
        Stop::File => Ok(File { body, defined: parser.defined }),
        Stop::Block | Stop::Else(_) => Err(format!("line {}: a block ends that did not begin", parser.line)),
    }
}

/// What ended a block.
enum Stop {
    File,
    Block,
    /// The words after `else`.
    Else(Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    defined: Vec<(String, Vec<Node>)>,
    line: usize,
}

impl Parser {
    fn fail<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("line {}: {what}", self.line))
    }

    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, Stop), String> {
        if depth > MAX_DEPTH {
            return self.fail("blocks are nested too deeply");
        }
        let mut out = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (line, tokens) = match piece {
                Piece::Text(text) => {
                    out.push(Node::Text(text));
                    continue;
                }
                Piece::Action(line, tokens) => (line, tokens),
            };
            self.line = line;
            let word = match tokens.first() {
                Some(Token::Word(word)) => word.clone(),
                Some(_) => String::new(),
                None => continue,
            };
            let rest = || tokens.iter().skip(1).cloned().collect::<Vec<_>>();
            match word.as_str() {
                "end" => return Ok((out, Stop::Block)),
                "else" => return Ok((out, Stop::Else(rest()))),
                "if" | "with" => {
                    let (branches, otherwise) = self.branches(&word, rest(), depth)?;
                    out.push(if word == "if" {
                        Node::If { branches, otherwise }
                    } else {
                        Node::With { branches, otherwise }
                    });
                }
                "range" => {
                    let over = self.pipeline(&rest())?;
                    let (body, end) = self.block(depth + 1)?;
                    let otherwise = match end {
                        Stop::Else(_) => self.until_end(depth)?,
                        Stop::Block => Vec::new(),
                        Stop::File => return self.fail("a range has no end"),
                    };
                    out.push(Node::Range { over, body, otherwise });
                }
                "define" | "block" => {
                    let Some(Token::Text(name)) = tokens.get(1).cloned() else {
                        return self.fail("a definition has no name");
                    };
                    let body = self.until_end(depth)?;
                    self.defined.push((name.clone(), body));
                    if word == "block" {
                        let with = Some(self.pipeline(&tokens.iter().skip(2).cloned().collect::<Vec<_>>())?);
                        out.push(Node::Template { name, with });
                    }
                }
                "template" => {
                    let Some(Token::Text(name)) = tokens.get(1).cloned() else {
                        return self.fail("a template has no name");
                    };
                    let rest: Vec<Token> = tokens.iter().skip(2).cloned().collect();
                    let with = if rest.is_empty() { None } else { Some(self.pipeline(&rest)?) };
                    out.push(Node::Template { name, with });
                }
                "break" => out.push(Node::Break),
                "continue" => out.push(Node::Continue),
                _ => out.push(Node::Print(self.pipeline(&tokens)?)),
            }
        }
        Ok((out, Stop::File))
    }

    #[expect(clippy::type_complexity, reason = "the two parts of If and With")]
    fn branches(
        &mut self,
        word: &str,
        condition: Vec<Token>,
        depth: usize,
    ) -> Result<(Vec<(Pipeline, Vec<Node>)>, Vec<Node>), String> {
        let mut out = Vec::new();
        let mut condition = self.pipeline(&condition)?;
        loop {
            let (body, end) = self.block(depth + 1)?;
            out.push((condition, body));
            match end {
                Stop::File => return self.fail("a block has no end"),
                Stop::Block => return Ok((out, Vec::new())),
                Stop::Else(tokens) => match tokens.split_first() {
                    None => {
                        let otherwise = self.until_end(depth)?;
                        return Ok((out, otherwise));
                    }
                    Some((Token::Word(again), rest)) if again == word => condition = self.pipeline(rest)?,
                    Some(_) => return self.fail("else is followed by something else"),
                },
            }
        }
    }

    fn until_end(&mut self, depth: usize) -> Result<Vec<Node>, String> {
        match self.block(depth + 1)? {
            (body, Stop::Block) => Ok(body),
            _ => self.fail("a block has no end"),
        }
    }

    fn pipeline(&self, tokens: &[Token]) -> Result<Pipeline, String> {
        let mut reader = Words { tokens, at: 0 };
        let found = reader.pipeline(0).and_then(|pipeline| match reader.peek() {
            None => Ok(pipeline),
            Some(_) => Err("a parenthesis closes that did not open".to_owned()),
        });
        found.map_err(|why| format!("line {}: {why}", self.line))
    }
}

struct Words<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Words<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn pipeline(&mut self, depth: usize) -> Result<Pipeline, String> {
        if depth > MAX_DEPTH {
            return Err("parentheses are nested too deeply".to_owned());
        }
        let mut out = Pipeline::default();
        self.declaration(&mut out);
        let mut command = Vec::new();
        loop {
            match self.peek() {
                None | Some(Token::Close(_)) => break,
                Some(Token::Pipe) => {
                    self.at += 1;
                    out.commands.push(std::mem::take(&mut command));
                }
                Some(_) => command.push(self.operand(depth)?),
            }
        }
        out.commands.push(command);
        if out.commands.iter().any(Vec::is_empty) {
            return Err("a command is empty".to_owned());
        }
        Ok(out)
    }

    /// `$x :=`, `$k, $v :=`, `$x =`.
    fn declaration(&mut self, out: &mut Pipeline) {
        let name = |token: Option<&Token>| match token {
            Some(Token::Variable(name, fields)) if fields.is_empty() => Some(name.clone()),
            _ => None,
        };
        let tokens = self.tokens.get(self.at..).unwrap_or_default();
        let Some(first) = name(tokens.first()) else { return };
        match tokens.get(1) {
            Some(Token::Declare | Token::Assign) => {
                out.assign = matches!(tokens[1], Token::Assign);
                out.variables = vec![first];
                self.at += 2;
            }
            Some(Token::Comma) if matches!(tokens.get(3), Some(Token::Declare | Token::Assign)) => {
                if let Some(second) = name(tokens.get(2)) {
                    out.assign = matches!(tokens[3], Token::Assign);
                    out.variables = vec![first, second];
                    self.at += 4;
                }
            }
            _ => {}
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, String> {
        let token = self.peek().cloned();
        self.at += 1;
        Ok(match token {
            Some(Token::Field(fields)) => Operand::Field(fields),
            Some(Token::Variable(name, fields)) => Operand::Variable(name, fields),
            Some(Token::Text(text)) => Operand::Text(text),
            Some(Token::Int(number)) => Operand::Int(number),
            Some(Token::Float(number)) => Operand::Float(number),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Operand::Bool(true),
                "false" => Operand::Bool(false),
                "nil" => Operand::Nil,
                _ => Operand::Function(word),
            },
            Some(Token::Open) => {
                let inner = self.pipeline(depth + 1)?;
                let Some(Token::Close(fields)) = self.peek().cloned() else {
                    return Err("a parenthesis does not close".to_owned());
                };
                self.at += 1;
                Operand::Parenthesis(inner, fields)
            }
            _ => return Err("a comma or sign of assignment stands alone".to_owned()),
        })
    }
}
