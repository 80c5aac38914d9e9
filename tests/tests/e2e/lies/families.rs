//! The kinds of lies. One that is wrong in the same way wherever it is asked is told by both nodes, too: nobody tells the
//! indexer better. One that nobody could see through alone is told by the one of two that is asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::Liar;
use crate::lying_node::{Delivered, refuse};

/// Who tells a lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tellers {
    /// Both nodes.
    Both,
    /// The one that is asked, and not the other.
    OneOfTwo,
    /// Chance decides.
    Either,
}

/// What is read while a lie is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// The newest blocks, each by its hash.
    Blocks,
    /// Blocks that are final, by ranges.
    Ranges,
    /// Chance decides.
    Any,
}

/// A kind of lie.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) tellers: Tellers,
    pub(super) reading: Reading,
    /// Has a node tell it from now on.
    pub(super) lie: fn(&mut Liar<'_>),
}

const fn family(
    name: &'static str,
    tellers: Tellers,
    reading: Reading,
    lie: fn(&mut Liar<'_>),
) -> Family {
    Family {
        name,
        tellers,
        reading,
        lie,
    }
}

/// All of them.
pub(super) static FAMILIES: [Family; 36] = {
    use Reading::{Any, Blocks, Ranges};
    use Tellers::{Both, Either, OneOfTwo};
    [
        // How an answer comes.
        family("an empty answer", Either, Any, empty),
        family("half an answer", Either, Any, half),
        family("a broken connection", Either, Any, breaks_off),
        family("a late answer", Either, Any, late),
        family("no answer", Either, Any, silent),
        family("a page of HTML", Either, Any, html),
        family("too many requests", Either, Any, too_many),
        family("an endless answer", Either, Any, endless),
        family("a wrong id", Either, Any, wrong_id),
        family("swapped ids", Either, Ranges, swapped_ids),
        family("answers in another order", Either, Ranges, reversed),
        // Which chain it is, and how far.
        family("another chain", Both, Any, another_chain),
        family("another contract", Both, Any, another_contract),
        family("a stale head", Either, Any, stale_head),
        family("a head ahead", Either, Any, head_ahead),
        family("another time", Either, Any, another_time),
        family("false finality", Either, Any, false_finality),
        // Blocks.
        family("no such block", Either, Blocks, no_block),
        family("another hash, once", Either, Blocks, another_hash_once),
        family("another hash", OneOfTwo, Blocks, another_hash),
        family("another parent", Either, Blocks, another_parent),
        // Logs.
        family("no logs", Either, Any, no_logs),
        family("a missing log", Either, Ranges, missing_log),
        family("no logs and no state", Either, Any, no_logs_no_state),
        family("each log twice", Either, Any, twice),
        family("logs in another order", Either, Ranges, logs_reversed),
        family("an invented log", Either, Any, invented),
        family("another record", Either, Any, another_record),
        family("another record, also in the receipt", Either, Any, forged),
        family("another transaction", Either, Any, another_transaction),
        family("another place", Either, Any, another_place),
        family("another block of a log", Either, Any, another_block),
        family("another address", Either, Any, another_address),
        family("a removed log", Either, Any, removed),
        // What proves them.
        family("another receipt", Either, Any, another_receipt),
        family("another word of the registry", OneOfTwo, Any, another_word),
    ]
};

/// A hash that nothing has.
fn nothing() -> Value {
    json!(format!("0x{}", "22".repeat(32)))
}

// How an answer comes.

fn empty(liar: &mut Liar<'_>) {
    liar.delivers(|_| Delivered::Whole(String::new()));
}

fn half(liar: &mut Liar<'_>) {
    let parts = 2 + liar.chance.below(8);
    liar.delivers(move |mut answer| {
        let length = answer.len() / usize::try_from(parts).unwrap_or(2);
        answer.truncate(length);
        Delivered::Whole(answer)
    });
}

fn breaks_off(liar: &mut Liar<'_>) {
    let is_begun = liar.chance.one_in(2);
    liar.delivers(move |mut answer| {
        answer.truncate(if is_begun { answer.len() / 2 } else { 0 });
        Delivered::Broken(answer)
    });
}

fn late(liar: &mut Liar<'_>) {
    let by = Duration::from_millis(20) + liar.chance.shorter_than(Duration::from_millis(300));
    liar.delivers(move |answer| Delivered::Late(by, answer));
}

fn silent(liar: &mut Liar<'_>) {
    liar.delivers(|_| Delivered::Silent);
}

fn html(liar: &mut Liar<'_>) {
    let status = *liar.chance.one_of(&[200, 403, 404, 500, 502]);
    let page = "<!DOCTYPE html><title>Bad Gateway</title>".to_owned();
    liar.delivers(move |_| Delivered::Status(status, page.clone()));
}

fn too_many(liar: &mut Liar<'_>) {
    let status = *liar.chance.one_of(&[429, 503]);
    liar.delivers(move |_| Delivered::Status(status, "Too Many Requests".to_owned()));
}

/// Longer than any answer may be that holds no logs.
fn endless(liar: &mut Liar<'_>) {
    const TOO_LONG: usize = 9 << 20;
    let told = liar.told.clone();
    liar.node.delivers(move |questions, answer| {
        if super::asks(questions, "eth_getBlockByNumber") {
            told.again();
            Delivered::Whole(" ".repeat(TOO_LONG) + &answer)
        } else {
            Delivered::Whole(answer)
        }
    });
}

fn wrong_id(liar: &mut Liar<'_>) {
    let told = liar.told.clone();
    let wrong = 1_000 + liar.chance.below(1_000);
    liar.node.lies(move |_, _, answer| {
        answer["id"] = json!(wrong);
        told.again();
    });
}

/// Changes the answers of a request that asks for several things.
fn changes_batches(liar: &Liar<'_>, change: impl Fn(&mut Vec<Value>) + Send + 'static) {
    let told = liar.told.clone();
    liar.node.delivers(move |_, answer| {
        let answers: Value = serde_json::from_str(&answer).unwrap_or_default();
        let Value::Array(mut answers) = answers else {
            return Delivered::Whole(answer);
        };
        if answers.len() > 1 {
            change(&mut answers);
            told.again();
        }
        Delivered::Whole(Value::Array(answers).to_string())
    });
}

fn swapped_ids(liar: &mut Liar<'_>) {
    changes_batches(liar, |answers| {
        let last = answers.len() - 1;
        let id = answers[0]["id"].take();
        answers[0]["id"] = answers[last]["id"].take();
        answers[last]["id"] = id;
    });
}

fn reversed(liar: &mut Liar<'_>) {
    changes_batches(liar, |answers| answers.reverse());
}

// Which chain it is, and how far.

fn another_chain(liar: &mut Liar<'_>) {
    liar.breaks_off_once();
    let other = format!("{:#x}", 1 + liar.chance.below(1_000));
    liar.changes("eth_chainId", move |_, answer| {
        answer["result"] = json!(other);
        true
    });
}

fn another_contract(liar: &mut Liar<'_>) {
    liar.breaks_off_once();
    let is_there = liar.chance.one_in(2);
    liar.changes("eth_getCode", move |params, answer| {
        let is_now = params[1] == "latest";
        if is_now {
            answer["result"] = json!(if is_there { "0x6001" } else { "0x" });
        }
        is_now
    });
}

fn stale_head(liar: &mut Liar<'_>) {
    let told = liar.told.clone();
    let head = liar.head.saturating_sub(liar.chance.below(4));
    liar.node.asks_otherwise(move |method, params| {
        if method == "eth_getBlockByNumber" && params[0] == "latest" {
            params[0] = json!(format!("{head:#x}"));
            told.again();
        }
    });
}

fn head_ahead(liar: &mut Liar<'_>) {
    let head = liar.head + 5 + liar.chance.below(1_000);
    liar.changes_tagged("latest", move |answer| {
        answer["result"]["number"] = json!(format!("{head:#x}"));
    });
}

fn another_time(liar: &mut Liar<'_>) {
    let at = *liar.chance.one_of(&["0x0", "0x7fffffffffffffff"]);
    liar.changes_tagged("latest", move |answer| {
        answer["result"]["timestamp"] = json!(at);
    });
}

fn false_finality(liar: &mut Liar<'_>) {
    let number = *liar.chance.one_of(&[0, liar.head, 1_000_000_000]);
    let how = liar.chance.below(3);
    liar.changes_tagged("finalized", move |answer| match how {
        0 => answer["result"] = Value::Null,
        1 => refuse(answer),
        _ => answer["result"]["number"] = json!(format!("{number:#x}")),
    });
}

// Blocks.

fn no_block(liar: &mut Liar<'_>) {
    liar.changes_blocks(liar.head.saturating_sub(1), |answer| {
        answer["result"] = Value::Null;
        true
    });
}

/// Changes a block, where there is one.
fn set(answer: &mut Value, field: &str, value: Value) -> bool {
    let block = answer
        .pointer_mut("/result")
        .filter(|block| block.is_object());
    let Some(block) = block else {
        return false;
    };
    block[field] = value;
    true
}

fn another_hash_once(liar: &mut Liar<'_>) {
    let mut is_told = false;
    liar.changes_blocks(liar.head.saturating_sub(1), move |answer| {
        let is_first = !is_told && set(answer, "hash", nothing());
        is_told |= is_first;
        is_first
    });
}

fn another_hash(liar: &mut Liar<'_>) {
    liar.changes_blocks(liar.head, |answer| set(answer, "hash", nothing()));
}

fn another_parent(liar: &mut Liar<'_>) {
    liar.changes_blocks(liar.head, |answer| set(answer, "parentHash", nothing()));
}

// Logs.

fn no_logs(liar: &mut Liar<'_>) {
    liar.changes_logs(|logs| {
        logs.clear();
        true
    });
}

fn missing_log(liar: &mut Liar<'_>) {
    let place = liar.chance.draw();
    liar.changes_logs(move |logs| {
        let count = u64::try_from(logs.len()).unwrap_or(u64::MAX);
        let nth = usize::try_from(place % count).unwrap_or_default();
        logs.remove(nth);
        true
    });
}

/// Where nobody says that there was more, nothing may be passed over.
fn no_logs_no_state(liar: &mut Liar<'_>) {
    let told = liar.told.clone();
    liar.node.lies(move |method, params, answer| match method {
        "eth_call" if params[1].is_object() => refuse(answer),
        "eth_getLogs" => {
            let logs = answer.pointer_mut("/result").and_then(Value::as_array_mut);
            let Some(logs) = logs.filter(|logs| !logs.is_empty()) else {
                return;
            };
            logs.clear();
            told.again();
        }
        _ => {}
    });
}

fn twice(liar: &mut Liar<'_>) {
    liar.changes_logs(|logs| {
        logs.extend(logs.clone());
        true
    });
}

fn logs_reversed(liar: &mut Liar<'_>) {
    liar.changes_logs(|logs| {
        logs.reverse();
        logs.len() > 1
    });
}

fn invented(liar: &mut Liar<'_>) {
    liar.changes_logs(|logs| {
        let mut invented = logs[0].clone();
        invented["topics"][1] = nothing();
        invented["logIndex"] = json!("0x3e8");
        logs.push(invented);
        true
    });
}

fn another_record(liar: &mut Liar<'_>) {
    liar.changes_each_log(|log| log["topics"][1] = nothing());
}

fn forged(liar: &mut Liar<'_>) {
    let told = liar.told.clone();
    liar.node.lies(move |method, _, answer| {
        let place = match method {
            "eth_getLogs" => "/result",
            "eth_getTransactionReceipt" => "/result/logs",
            _ => return,
        };
        let logs = answer.pointer_mut(place).and_then(Value::as_array_mut);
        for log in logs.into_iter().flatten() {
            log["topics"][1] = nothing();
            told.again();
        }
    });
}

fn another_transaction(liar: &mut Liar<'_>) {
    liar.changes_each_log(|log| log["transactionHash"] = nothing());
}

fn another_place(liar: &mut Liar<'_>) {
    let place = format!("{:#x}", 7 + liar.chance.below(100));
    liar.changes_each_log(move |log| log["logIndex"] = json!(place));
}

fn another_block(liar: &mut Liar<'_>) {
    liar.changes_each_log(|log| log["blockHash"] = nothing());
}

fn another_address(liar: &mut Liar<'_>) {
    liar.changes_each_log(|log| log["address"] = json!(format!("0x{}", "42".repeat(20))));
}

/// The chain has them all the same.
fn removed(liar: &mut Liar<'_>) {
    liar.changes_each_log(|log| log["removed"] = json!(true));
}

// What proves them.

fn another_receipt(liar: &mut Liar<'_>) {
    let receipt = match liar.chance.below(2) {
        0 => liar.other_receipt.clone(),
        _ => Value::Null,
    };
    let told = liar.told.clone();
    liar.node.lies(move |method, _, answer| match method {
        "eth_getTransactionReceipt" => {
            answer["result"] = receipt.clone();
            told.again();
        }
        "eth_getBlockReceipts" => refuse(answer),
        _ => {}
    });
}

fn another_word(liar: &mut Liar<'_>) {
    liar.changes("eth_call", |params, answer| {
        let word = answer["result"].as_str().filter(|_| params[1].is_object());
        let Some(rest) = word.and_then(|word| word.get(4..)).map(str::to_owned) else {
            return false;
        };
        // The first byte of the head, which never is this one for long.
        answer["result"] = json!(format!("0xee{rest}"));
        true
    });
}
