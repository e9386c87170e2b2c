//! EC2's Query protocol: a form whose keys are paths (`TagSpecification.1.Tag.2.Key`).

use std::collections::BTreeMap;

use super::Refusal;

/// The parameters of one call.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads a form.
    pub(in crate::sandbox) fn read(form: &[u8]) -> Self {
        Self(form_urlencoded::parse(form).into_owned().collect())
    }

    /// Returns a value by its key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns a value that the call can't do without.
    pub(super) fn need(&self, key: &str) -> Result<&str, Refusal> {
        self.get(key)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Refusal::new("MissingParameter", format!("The request must contain the parameter {key}")))
    }

    /// Returns a whole number.
    pub(super) fn number(&self, key: &str) -> Result<Option<u32>, Refusal> {
        self.get(key).map(str::parse).transpose().map_err(|_| {
            Refusal::new("InvalidParameterValue", format!("Value for parameter {key} is invalid. Expected a number."))
        })
    }

    /// Returns whether a flag is set.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    /// Returns the values of a list (`InstanceId.1`, `InstanceId.2`), in its order.
    pub(super) fn list(&self, key: &str) -> Vec<&str> {
        self.entries(key).into_iter().filter(|(_, rest, _)| rest.is_empty()).map(|(_, _, value)| value).collect()
    }

    /// Returns the structures of a list (`Filter.1.Name`, `Filter.1.Value.1`), in its order.
    pub(super) fn structures(&self, key: &str) -> Vec<Self> {
        let mut structures: BTreeMap<u32, Self> = BTreeMap::new();
        for (index, rest, value) in self.entries(key) {
            structures.entry(index).or_default().0.insert(rest.to_owned(), value.to_owned());
        }
        structures.into_values().collect()
    }

    /// Returns all parameters but one.
    pub(super) fn without(&self, key: &str) -> BTreeMap<String, String> {
        self.0.iter().filter(|(name, _)| *name != key).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Returns all parameters but the user data, which holds a secret.
    pub(in crate::sandbox) fn shown(&self) -> BTreeMap<String, String> {
        self.without("UserData")
    }

    fn entries(&self, key: &str) -> Vec<(u32, &str, &str)> {
        let mut entries: Vec<_> = self
            .0
            .iter()
            .filter_map(|(name, value)| {
                let rest = name.strip_prefix(key)?.strip_prefix('.')?;
                let (index, rest) = rest.split_once('.').unwrap_or((rest, ""));
                Some((index.parse().ok()?, rest, value.as_str()))
            })
            .collect();
        entries.sort_by_key(|(index, ..)| *index);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_keep_the_order_of_their_numbers() {
        let form = b"InstanceId.10=c&InstanceId.2=b&InstanceId.1=a&Filter.1.Name=tag%3AX&Filter.1.Value.1=y";
        let parameters = Parameters::read(form);
        assert_eq!(parameters.list("InstanceId"), ["a", "b", "c"]);
        let filters = parameters.structures("Filter");
        assert_eq!(filters[0].get("Name"), Some("tag:X"));
        assert_eq!(filters[0].list("Value"), ["y"]);
    }
}
