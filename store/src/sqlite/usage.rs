//! Usage of tenants, as counters that only grow. An operator bills from them, so a row that does not match its hash is
//! reported and left out, and later usage is counted in a new row.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, Transaction, params};

use super::documents::bytes;
use crate::record_hash::record_hash;
use crate::{Corrupt, RenamedUsage, StoreError, StoredUsage, UsageRow};

const COLUMNS: &str = "id, tenant, model, requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes, hash";

type Counters = [i64; 6];

struct Stored {
    id: i64,
    tenant: String,
    model: String,
    counters: Counters,
    intact: bool,
}

pub(super) fn add(transaction: &Transaction<'_>, doing: &'static str, rows: &[UsageRow]) -> Result<(), StoreError> {
    rows.iter().try_for_each(|row| add_row(transaction, row)).map_err(|e| StoreError::database(doing, e))
}

pub(super) fn rename(
    transaction: &Transaction<'_>,
    doing: &'static str,
    renamed: &RenamedUsage,
) -> Result<(), StoreError> {
    rename_rows(transaction, renamed).map_err(|e| StoreError::database(doing, e))
}

pub(super) fn read(connection: &Connection, tenant: Option<&str>) -> Result<StoredUsage, StoreError> {
    let stored = match tenant {
        None => select(connection, "", &[]),
        Some(tenant) => select(connection, "WHERE tenant = ?", &[tenant]),
    };
    let mut sums = BTreeMap::<(String, String), Counters>::new();
    let mut damaged = Vec::new();
    for row in stored.map_err(|e| StoreError::database("reading usage", e))? {
        match row.intact {
            true => sum(sums.entry((row.tenant, row.model)).or_default(), &row.counters),
            false => damaged.push(lost(&row)),
        }
    }
    let rows = sums.into_iter().map(|((tenant, model), counters)| usage_row(tenant, model, counters)).collect();
    Ok(StoredUsage { rows, damaged })
}

fn add_row(transaction: &Transaction<'_>, row: &UsageRow) -> rusqlite::Result<()> {
    let rows = select(transaction, "WHERE tenant = ? AND model = ?", &[&row.tenant, &row.model])?;
    let before = rows.into_iter().find(|row| row.intact);
    let mut counters = counters(row);
    if let Some(before) = &before {
        sum(&mut counters, &before.counters);
    }
    let [requests, refused, fuel, cpu, request_bytes, reply_bytes] = counters;
    let hash = hash(row.tenant.as_bytes(), row.model.as_bytes(), &counters);
    let id = before.map(|before| before.id);
    let sql = format!("INSERT OR REPLACE INTO usage ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    let (tenant, model) = (&row.tenant, &row.model);
    transaction.execute(
        &sql,
        params![id, tenant, model, requests, refused, fuel, cpu, request_bytes, reply_bytes, &hash[..]],
    )?;
    Ok(())
}

fn rename_rows(transaction: &Transaction<'_>, RenamedUsage { from, to }: &RenamedUsage) -> rusqlite::Result<()> {
    // A damaged row keeps its hash, so that it is still reported.
    let sql = "UPDATE usage SET tenant = ?, hash = COALESCE(?, hash) WHERE id = ?";
    for row in select(transaction, "WHERE tenant = ?", &[from])? {
        let hash = row.intact.then(|| hash(to.as_bytes(), row.model.as_bytes(), &row.counters).to_vec());
        transaction.execute(sql, params![to, hash, row.id])?;
    }
    Ok(())
}

fn select(connection: &Connection, which: &str, names: &[&str]) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM usage {which} ORDER BY id"))?;
    statement.query_map(rusqlite::params_from_iter(names), stored)?.collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let mut counters = Counters::default();
    for (column, counter) in (3..).zip(&mut counters) {
        *counter = row.get_ref(column)?.as_i64().unwrap_or(-1);
    }
    let (tenant, model) = (bytes(row, 1)?, bytes(row, 2)?);
    let intact = hash(tenant, model, &counters) == *bytes(row, 9)?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(Stored { id: row.get(0)?, tenant: text(tenant), model: text(model), counters, intact })
}

fn lost(row: &Stored) -> Corrupt {
    let why = format!("the counters {:?} do not match their hash, and are left out", row.counters);
    Corrupt { kind: "usage".into(), key: format!("{} {}", row.tenant, row.model), why }
}

fn sum(total: &mut Counters, more: &Counters) {
    for (total, more) in total.iter_mut().zip(more) {
        *total = total.saturating_add(*more);
    }
}

fn counters(row: &UsageRow) -> Counters {
    let UsageRow { requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes, .. } = row;
    [requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes]
        .map(|counter| i64::try_from(*counter).unwrap_or(i64::MAX))
}

fn usage_row(tenant: String, model: String, counters: Counters) -> UsageRow {
    let [requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes] = counters.map(i64::cast_unsigned);
    UsageRow { tenant, model, requests, refused, fuel, cpu_nanoseconds, request_bytes, reply_bytes }
}

fn hash(tenant: &[u8], model: &[u8], counters: &Counters) -> [u8; 32] {
    let counters: Vec<u8> = counters.iter().flat_map(|counter| counter.to_be_bytes()).collect();
    *record_hash("bulkhead usage 1", &[tenant, model, &counters]).as_bytes()
}
