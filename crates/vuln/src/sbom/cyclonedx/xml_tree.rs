//! XML as a tree of elements of one namespace.
//!
//! Elements and attributes of other namespaces are extensions: ignored. Document types and entities of their own are
//! refused: they are how XML explodes.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

const MAX_DEPTH: usize = 64;
const MAX_ELEMENTS: usize = 4_000_000;

/// An element.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Node>,
    pub(crate) text: String,
}

impl Node {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Elements of the root's namespace, and that namespace.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Node, String), String> {
    let mut reader = NsReader::from_reader(bytes);
    reader.config_mut().trim_text(false);
    let mut stack: Vec<Node> = Vec::new();
    let mut foreign = 0_usize;
    let mut elements = 0_usize;
    let mut namespace = None;
    loop {
        let at = reader.buffer_position();
        let fail = |reason: String| format!("byte {at}: {reason}");
        let (resolved, event) = reader.read_resolved_event().map_err(|error| fail(error.to_string()))?;
        match event {
            Event::Start(start) | Event::Empty(start)
                if elements >= MAX_ELEMENTS || stack.len() >= MAX_DEPTH =>
            {
                drop(start);
                return Err(fail(format!("more than {MAX_ELEMENTS} elements or {MAX_DEPTH} levels")));
            }
            Event::Start(start) => {
                elements += 1;
                let own = bound(&resolved);
                let root = namespace.get_or_insert_with(|| own.clone());
                if foreign > 0 || *root != own {
                    foreign += 1;
                } else {
                    stack.push(node(&start).map_err(fail)?);
                }
            }
            Event::Empty(start) => {
                elements += 1;
                let own = bound(&resolved);
                let root = namespace.get_or_insert_with(|| own.clone());
                if foreign == 0 && *root == own {
                    let done = node(&start).map_err(fail)?;
                    match stack.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Ok((done, own)),
                    }
                }
            }
            Event::End(_) if foreign > 0 => foreign -= 1,
            Event::End(_) => {
                let done = stack.pop().ok_or_else(|| fail("element ends that did not start".into()))?;
                match stack.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Ok((done, namespace.unwrap_or_default())),
                }
            }
            Event::Text(text) if foreign == 0 => {
                let text = text.decode().map_err(|error| fail(error.to_string()))?;
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&text);
                }
            }
            Event::CData(text) if foreign == 0 => {
                let text = text.decode().map_err(|error| fail(error.to_string()))?;
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&text);
                }
            }
            Event::GeneralRef(reference) if foreign == 0 => {
                let resolved = entity(&reference).map_err(fail)?;
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&resolved);
                }
            }
            Event::DocType(_) => return Err(fail("document type declarations are refused".into())),
            Event::Eof => return Err(fail("document ends early".into())),
            _ => {}
        }
    }
}

fn entity(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|error| error.to_string())?;
    quick_xml::escape::resolve_predefined_entity(&name)
        .map(str::to_owned)
        .ok_or_else(|| format!("entity `{name}` is not defined"))
}

fn bound(resolved: &ResolveResult<'_>) -> String {
    match resolved {
        ResolveResult::Bound(namespace) => String::from_utf8_lossy(namespace.as_ref()).into_owned(),
        _ => String::new(),
    }
}

fn node(start: &BytesStart<'_>) -> Result<Node, String> {
    let mut out =
        Node { name: String::from_utf8_lossy(start.local_name().as_ref()).into_owned(), ..Node::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        if key.contains(':') || key == "xmlns" {
            continue;
        }
        let raw = String::from_utf8_lossy(&attribute.value);
        let value = quick_xml::escape::unescape(&raw).map_err(|error| error.to_string())?;
        out.attributes.push((key, value.into_owned()));
    }
    Ok(out)
}
