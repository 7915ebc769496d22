//! Remembers the tools of agents in the form in which models get them: to parse and to adapt the schemas of all tools
//! costs more than all the rest of a request.

use super::names::ToolNames;
use super::tools::WireTools;
use crate::ToolSpec;
use crate::dialect::{Dialect, SchemaDialect};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Maximum number of forms that are remembered. A service has a few agents, and each asks one or two models.
const MAX_FORMS: usize = 64;

/// The tools of the requests to one server.
#[derive(Default)]
pub(crate) struct ToolForms {
    /// The newest last.
    forms: Mutex<VecDeque<Form>>,
}

struct Form {
    /// Held, so that no other tools can be at their address.
    specs: Arc<[ToolSpec]>,
    schema: SchemaDialect,
    description_chars: usize,
    max_tools: usize,
    tools: Arc<WireTools>,
}

impl ToolForms {
    /// Returns the tools of a request in the dialect of its model.
    pub(super) fn get(&self, specs: &Arc<[ToolSpec]>, dialect: &Dialect, names: &ToolNames) -> Arc<WireTools> {
        if !dialect.tools {
            return Arc::default();
        }
        let build = || Arc::new(WireTools::new(specs, dialect, names));
        // Where a name has another form, that form depends on the other names in the prompt.
        if specs.iter().any(|spec| names.to_wire(&spec.name) != spec.name) {
            return build();
        }
        let is_same = |form: &&Form| {
            Arc::ptr_eq(&form.specs, specs)
                && form.schema == dialect.schema
                && form.description_chars == dialect.description_chars
                && form.max_tools == dialect.max_tools
        };
        let known = self.forms.lock().iter().find(is_same).map(|form| form.tools.clone());
        known.unwrap_or_else(|| {
            let tools = build();
            let Dialect { schema, description_chars, max_tools, .. } = *dialect;
            let mut forms = self.forms.lock();
            if forms.len() >= MAX_FORMS {
                forms.pop_front();
            }
            forms.push_back(Form { specs: specs.clone(), schema, description_chars, max_tools, tools: tools.clone() });
            tools
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn specs(name: &str) -> Arc<[ToolSpec]> {
        let parameters = RawValue::from_string(r#"{"type":"object"}"#.to_owned()).unwrap().into();
        [ToolSpec { name: name.to_owned(), description: "Does something.".to_owned(), parameters }].into()
    }

    fn names(specs: &[ToolSpec]) -> ToolNames {
        ToolNames::new(specs.iter().map(|spec| spec.name.as_str()), false)
    }

    #[test]
    fn tools_are_adapted_once_for_each_dialect() {
        let (forms, specs, dialect) = (ToolForms::default(), specs("do_it"), Dialect::default());
        let names = names(&specs);
        let first = forms.get(&specs, &dialect, &names);
        assert!(first.contains("do_it"));
        assert!(Arc::ptr_eq(&first, &forms.get(&specs.clone(), &dialect, &names)));
        let basic = Dialect { schema: SchemaDialect::Basic, ..Dialect::default() };
        assert!(!Arc::ptr_eq(&first, &forms.get(&specs, &basic, &names)));
        let other = self::specs("do_it");
        assert!(!Arc::ptr_eq(&first, &forms.get(&other, &dialect, &names)), "other tools");
        let none = Dialect { tools: false, ..Dialect::default() };
        assert!(forms.get(&specs, &none, &names).is_empty());
    }

    #[test]
    fn a_name_in_another_form_is_not_remembered_and_the_oldest_are_forgotten() {
        let (forms, dialect) = (ToolForms::default(), Dialect::default());
        let odd = specs("do it!");
        assert!(!Arc::ptr_eq(&forms.get(&odd, &dialect, &names(&odd)), &forms.get(&odd, &dialect, &names(&odd))));
        for number in 0..=MAX_FORMS {
            let specs = specs(&format!("tool_{number}"));
            forms.get(&specs, &dialect, &names(&specs));
        }
        assert_eq!(forms.forms.lock().len(), MAX_FORMS);
    }
}
