//! A document as CycloneDX XML, from the same model as the JSON form; element order is that of the XML schema.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde_json::Value;

use super::model::{Bom, Component, Hash, License, NamedLicense, Property, Tools};
use super::write::bom;
use crate::sbom::CycloneDxVersion;
use crate::sbom::document::Document;

type Xml = Writer<Vec<u8>>;
type Attributes<'a> = Vec<(&'a str, String)>;

/// Writes indented XML with a final line feed.
pub(crate) fn write_xml(document: &Document, version: CycloneDxVersion) -> io::Result<Vec<u8>> {
    let bom = bom(document, version);
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let attributes = vec![
        ("xmlns", format!("http://cyclonedx.org/schema/bom/{}", bom.spec_version)),
        ("serialNumber", bom.serial_number.clone()),
        ("version", bom.version.to_string()),
    ];
    element(&mut xml, "bom", attributes, |xml| body(xml, &bom))?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn element(
    xml: &mut Xml,
    name: &str,
    attributes: Attributes<'_>,
    inner: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let mut start = xml.create_element(name);
    for (key, value) in &attributes {
        start = start.with_attribute((*key, clean(value).as_str()));
    }
    start.write_inner_content(inner)?;
    Ok(())
}

fn leaf(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    leaf_with(xml, name, Vec::new(), text)
}

fn leaf_with(xml: &mut Xml, name: &str, attributes: Attributes<'_>, text: &str) -> io::Result<()> {
    let mut start = xml.create_element(name);
    for (key, value) in &attributes {
        start = start.with_attribute((*key, clean(value).as_str()));
    }
    start.write_text_content(BytesText::new(&clean(text)))?;
    Ok(())
}

fn optional(xml: &mut Xml, name: &str, text: Option<&String>) -> io::Result<()> {
    text.map_or(Ok(()), |text| leaf(xml, name, text))
}

/// XML 1.0 has no way to write most control characters.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => c,
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn body(xml: &mut Xml, bom: &Bom) -> io::Result<()> {
    let metadata = &bom.metadata;
    element(xml, "metadata", Vec::new(), |xml| {
        optional(xml, "timestamp", metadata.timestamp.as_ref())?;
        element(xml, "tools", Vec::new(), |xml| tools(xml, &metadata.tools))?;
        if !metadata.authors.is_empty() {
            element(xml, "authors", Vec::new(), |xml| {
                for author in &metadata.authors {
                    element(xml, "author", Vec::new(), |xml| leaf(xml, "name", &author.name))?;
                }
                Ok(())
            })?;
        }
        component(xml, &metadata.component)?;
        properties(xml, &metadata.properties)
    })?;
    element(xml, "components", Vec::new(), |xml| {
        bom.components.iter().try_for_each(|entry| component(xml, entry))
    })?;
    element(xml, "dependencies", Vec::new(), |xml| {
        for dependency in &bom.dependencies {
            let reference = vec![("ref", dependency.reference.clone())];
            element(xml, "dependency", reference, |xml| {
                for target in &dependency.depends_on {
                    xml.create_element("dependency")
                        .with_attribute(("ref", clean(target).as_str()))
                        .write_empty()?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    element(xml, "compositions", Vec::new(), |xml| {
        for composition in &bom.compositions {
            element(xml, "composition", Vec::new(), |xml| {
                leaf(xml, "aggregate", composition.aggregate)?;
                element(xml, "assemblies", Vec::new(), |xml| {
                    for assembly in &composition.assemblies {
                        xml.create_element("assembly")
                            .with_attribute(("ref", assembly.as_str()))
                            .write_empty()?;
                    }
                    Ok(())
                })
            })?;
        }
        Ok(())
    })
}

fn tools(xml: &mut Xml, tools: &Tools) -> io::Result<()> {
    match tools {
        Tools::Legacy(tools) => tools.iter().try_for_each(|tool| {
            element(xml, "tool", Vec::new(), |xml| {
                leaf(xml, "name", &tool.name)?;
                optional(xml, "version", tool.version.as_ref())
            })
        }),
        Tools::Components { components } => element(xml, "components", Vec::new(), |xml| {
            components.iter().try_for_each(|entry| component(xml, entry))
        }),
    }
}

fn component(xml: &mut Xml, entry: &Component) -> io::Result<()> {
    let mut attributes = vec![("type", entry.kind.clone())];
    if let Some(reference) = &entry.bom_ref {
        attributes.push(("bom-ref", reference.clone()));
    }
    element(xml, "component", attributes, |xml| {
        if let Some(supplier) = &entry.supplier {
            element(xml, "supplier", Vec::new(), |xml| leaf(xml, "name", &supplier.name))?;
        }
        optional(xml, "group", entry.group.as_ref())?;
        leaf(xml, "name", &entry.name)?;
        optional(xml, "version", entry.version.as_ref())?;
        optional(xml, "description", entry.description.as_ref())?;
        hashes(xml, &entry.hashes)?;
        licenses(xml, &entry.licenses)?;
        optional(xml, "copyright", entry.copyright.as_ref())?;
        optional(xml, "cpe", entry.cpe.as_ref())?;
        optional(xml, "purl", entry.purl.as_ref())?;
        entry.swid.as_ref().map_or(Ok(()), |tag| swid(xml, tag))?;
        if !entry.external_references.is_empty() {
            element(xml, "externalReferences", Vec::new(), |xml| {
                for reference in &entry.external_references {
                    let kind = vec![("type", reference.kind.to_owned())];
                    element(xml, "reference", kind, |xml| leaf(xml, "url", &reference.url))?;
                }
                Ok(())
            })?;
        }
        properties(xml, &entry.properties)?;
        if let Some(evidence) = &entry.evidence {
            element(xml, "evidence", Vec::new(), |xml| {
                element(xml, "occurrences", Vec::new(), |xml| {
                    for occurrence in &evidence.occurrences {
                        element(xml, "occurrence", Vec::new(), |xml| {
                            leaf(xml, "location", &occurrence.location)
                        })?;
                    }
                    Ok(())
                })
            })?;
        }
        Ok(())
    })
}

fn hashes(xml: &mut Xml, hashes: &[Hash]) -> io::Result<()> {
    if hashes.is_empty() {
        return Ok(());
    }
    element(xml, "hashes", Vec::new(), |xml| {
        hashes
            .iter()
            .try_for_each(|hash| leaf_with(xml, "hash", vec![("alg", hash.alg.to_owned())], &hash.content))
    })
}

fn licenses(xml: &mut Xml, licenses: &[License]) -> io::Result<()> {
    if licenses.is_empty() {
        return Ok(());
    }
    element(xml, "licenses", Vec::new(), |xml| {
        licenses.iter().try_for_each(|license| match license {
            License::Expression { expression } => leaf(xml, "expression", expression),
            License::License(NamedLicense::Id(id)) => {
                element(xml, "license", Vec::new(), |xml| leaf(xml, "id", id))
            }
            License::License(NamedLicense::Name(name)) => {
                element(xml, "license", Vec::new(), |xml| leaf(xml, "name", name))
            }
        })
    })
}

fn properties(xml: &mut Xml, properties: &[Property]) -> io::Result<()> {
    if properties.is_empty() {
        return Ok(());
    }
    element(xml, "properties", Vec::new(), |xml| {
        properties.iter().try_for_each(|entry| {
            leaf_with(xml, "property", vec![("name", entry.name.clone())], &entry.value)
        })
    })
}

fn swid(xml: &mut Xml, tag: &Value) -> io::Result<()> {
    let mut attributes = Vec::new();
    for key in ["tagId", "name", "version", "tagVersion", "patch"] {
        match tag.get(key) {
            Some(Value::String(text)) => attributes.push((key, text.clone())),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => attributes.push((key, other.to_string())),
            _ => {}
        }
    }
    element(xml, "swid", attributes, |xml| {
        if let Some(text) = tag.get("text") {
            let keys = [("contentType", "content-type"), ("encoding", "encoding")];
            let attributes = keys
                .into_iter()
                .filter_map(|(json, name)| Some((name, text.get(json)?.as_str()?.to_owned())))
                .collect();
            leaf_with(
                xml,
                "text",
                attributes,
                text.get("content").and_then(Value::as_str).unwrap_or_default(),
            )?;
        }
        tag.get("url").and_then(Value::as_str).map_or(Ok(()), |url| leaf(xml, "url", url))
    })
}
