//! `[models.NAME]`

use super::raw::{RawModel, SpannedText, TableOf};
use super::{AgentsFileReader, Result};
use crate::config::{DialectOverrides, ModelPrices, ModelSettings};
use serde_json::Value;
use std::sync::Arc;
use toml::Spanned;

impl AgentsFileReader<'_> {
    /// Validates the settings of a model.
    pub(super) fn model(&self, name: &SpannedText, table: RawModel) -> Result<ModelSettings> {
        Ok(ModelSettings {
            prices: self.prices(name, &table)?,
            context_tokens: self.number(table.context_tokens, 256..=100_000_000)?,
            dialect: self.dialect(table.dialect)?,
        })
    }

    /// Validates the prices of a model. It has both or none.
    fn prices(&self, name: &SpannedText, table: &RawModel) -> Result<Option<ModelPrices>> {
        let price = |price: &Spanned<f64>| {
            let value = *price.as_ref();
            let is_valid = value.is_finite() && value >= 0.0;
            is_valid.then_some(value).ok_or_else(|| self.error_at(price.span(), "a price is a number, 0 or more"))
        };
        match (&table.input_per_million, &table.output_per_million) {
            (None, None) => Ok(None),
            (Some(input), Some(output)) => {
                Ok(Some(ModelPrices { input_per_million: price(input)?, output_per_million: price(output)? }))
            }
            (None, Some(_)) => Err(self.error_at(name.span(), "`input_per_million` is missing")),
            (Some(_), None) => Err(self.error_at(name.span(), "`output_per_million` is missing")),
        }
    }

    /// Validates `[models.NAME.dialect]`.
    fn dialect(&self, table: TableOf<Spanned<Value>>) -> Result<Option<Arc<DialectOverrides>>> {
        if table.is_empty() {
            return Ok(None);
        }
        let mut overrides = DialectOverrides::default();
        for (key, value) in table {
            let span = value.span();
            let text = match value.into_inner() {
                Value::String(text) => text,
                Value::Array(parts) => {
                    let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                    parts.join("+")
                }
                value => value.to_string(),
            };
            overrides.set(key.as_ref(), &text).map_err(|problem| {
                let is_known = key.as_ref() == DialectOverrides::BASE || problem.starts_with('`');
                self.error_at(if is_known { span } else { key.span() }, problem)
            })?;
        }
        Ok(Some(Arc::new(overrides)))
    }
}
