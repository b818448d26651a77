//! Reading of a node's attributes.

use tract_onnx::pb::{AttributeProto, NodeProto};

pub(super) trait Attributes {
    fn get(&self, name: &str) -> Option<&AttributeProto>;

    fn int(&self, name: &str) -> Option<i64> {
        self.get(name).map(|attribute| attribute.i)
    }

    fn float(&self, name: &str) -> Option<f32> {
        self.get(name).map(|attribute| attribute.f)
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.get(name).map(|attribute| attribute.ints.as_slice())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }
}

impl Attributes for NodeProto {
    fn get(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name == name)
    }
}

/// An attribute's value as text, for messages.
pub(super) fn shown(attribute: &AttributeProto) -> String {
    let texts =
        |texts: &[Vec<u8>]| texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>();
    if !attribute.s.is_empty() {
        String::from_utf8_lossy(&attribute.s).into_owned()
    } else if !attribute.strings.is_empty() {
        texts(&attribute.strings).join(", ")
    } else if !attribute.ints.is_empty() {
        format!("{:?}", attribute.ints)
    } else if !attribute.floats.is_empty() {
        format!("{:?}", attribute.floats)
    } else if attribute.f != 0.0 {
        attribute.f.to_string()
    } else {
        attribute.i.to_string()
    }
}
