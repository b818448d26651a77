//! The parameters of requests, in JSON and in the query of an address. A name that is given twice is refused, because readers
//! do not agree on which of the two counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};

use super::error::DecodeError;
use crate::sandbox::{ParameterValue, Parameters};

/// The places of a parameter that is both in a request's address and in its body.
const ADDRESS_AND_BODY: &str = "in the address, and in the body";

/// Reads the parameters in the query of an address, such as `top_k=3`. A value that reads as a boolean or a number is one;
/// any other is a string.
pub fn in_query(query: &str) -> Result<Parameters, DecodeError> {
    let value = |text: &str| {
        let boolean = text.parse().map(ParameterValue::Boolean).ok();
        let integer = || text.parse().map(ParameterValue::Integer).ok();
        let number = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(ParameterValue::Number);
        boolean.or_else(integer).or_else(number).unwrap_or_else(|| ParameterValue::Text(text.to_owned()))
    };
    let given = form_urlencoded::parse(query.as_bytes());
    let mut parameters = Parameters::new();
    extend(&mut parameters, given.map(|(name, text)| (name.into_owned(), value(&text))), "in the address")?;
    Ok(parameters)
}

/// Adds the parameters of a request's address to those of its body.
pub fn add_query(parameters: &mut Parameters, query: &str) -> Result<(), DecodeError> {
    extend(parameters, in_query(query)?, ADDRESS_AND_BODY)
}

/// Adds parameters, whose names must be new. `places` says where a name that is not has been given.
pub fn extend(
    parameters: &mut Parameters,
    more: impl IntoIterator<Item = (String, ParameterValue)>,
    places: &'static str,
) -> Result<(), DecodeError> {
    let mut more = more.into_iter().peekable();
    if more.peek().is_none() {
        return Ok(());
    }
    let mut names: BTreeSet<String> = parameters.iter().map(|(name, _)| name.clone()).collect();
    for (name, value) in more {
        if !names.insert(name.clone()) {
            return Err(DecodeError::TwiceGiven { what: "parameter", name, places });
        }
        parameters.push((name, value));
    }
    Ok(())
}

/// The value of a parameter: a boolean, a number or a string. `None` for `null`, which is the same as no parameter. A list or
/// an object is an error as soon as it begins.
pub struct Scalar(pub Option<ParameterValue>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a boolean, a number or a text as a parameter")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar(None))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(Some(ParameterValue::Boolean(value))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(Some(ParameterValue::Integer(value))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        let integer = i64::try_from(value).map(ParameterValue::Integer);
        Ok(Scalar(Some(integer.unwrap_or(ParameterValue::Number(value as f64)))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(Some(ParameterValue::Number(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar(Some(ParameterValue::Text(value.to_owned()))))
    }
}

/// The parameters of a JSON object.
#[derive(Default)]
pub struct ParameterMap(pub Parameters);

impl<'de> Deserialize<'de> for ParameterMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor)
    }
}

struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = ParameterMap;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParameterMap, A::Error> {
        let mut parameters = BTreeMap::new();
        while let Some((name, Scalar(value))) = map.next_entry::<String, Scalar>()? {
            if parameters.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the parameter \"{name}\" is given twice")));
            }
            parameters.insert(name, value);
        }
        let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Ok(ParameterMap(given.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_an_address_are_what_they_look_like() {
        let parameters = in_query("top_k=3&threshold=0.5&exact=true&name=a%20b&odd=NaN").unwrap();
        let wanted = [
            ("top_k", ParameterValue::Integer(3)),
            ("threshold", ParameterValue::Number(0.5)),
            ("exact", ParameterValue::Boolean(true)),
            ("name", ParameterValue::Text("a b".into())),
            ("odd", ParameterValue::Text("NaN".into())),
        ];
        assert_eq!(parameters, wanted.map(|(name, value)| (name.to_owned(), value)));
        assert!(in_query("").unwrap().is_empty());
    }

    #[test]
    fn a_name_that_is_given_twice_is_refused() {
        let error = in_query("top_k=3&top_k=4").unwrap_err().to_string();
        assert_eq!(error, "parameter \"top_k\" is given twice: in the address");
        let mut parameters = serde_json::from_str::<ParameterMap>(r#"{"k": 1, "t": null}"#).unwrap().0;
        assert_eq!(parameters, [("k".to_owned(), ParameterValue::Integer(1))]);
        let error = add_query(&mut parameters, "k=1").unwrap_err().to_string();
        assert!(error.contains("\"k\" is given twice: in the address, and in the body"), "{error}");
        add_query(&mut parameters, "t=1").unwrap();
        for (json, wanted) in [
            (r#"{"k": 1, "k": 1}"#, "the parameter \"k\" is given twice"),
            (r#"{"k": null, "k": 1}"#, "twice"),
            (r#"{"k": []}"#, "expected a boolean, a number or a text as a parameter"),
            ("7", "expected an object of parameters"),
        ] {
            let error = serde_json::from_str::<ParameterMap>(json).err().unwrap().to_string();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
