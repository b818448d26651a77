//! The digits example: real pictures through two sandboxed plugins and a native graph.

use std::fs;
use std::io::BufReader;

use anyhow::{Context, Result};
use serde_json::Value;
use system_tests::{Host, Shared, prepared, repository};

const SIDE: usize = 8;

static HOST: Shared = Shared::new(|| Host::with_models(prepared("BULKHEAD_MODELS")));

fn label(host: &Host, model: &str, picture: &[u8]) -> Result<String> {
    let reply = host.post(&format!("/v2/models/{model}/infer"), "image/png", picture)?;
    assert_eq!(reply.status, 200, "{reply:?}");
    Ok(reply.output("label")[0].as_str().unwrap_or_default().to_owned())
}

#[test]
fn each_held_out_file_is_read_as_it_was_meant() -> Result<()> {
    let host = HOST.get();
    let mut seen = 0;
    for file in fs::read_dir(repository().join("examples/digits/held-out"))? {
        let path = file?.path();
        let meant = path.file_stem().and_then(|stem| stem.to_str()?.rsplit('-').next()).context("name")?.to_owned();
        let picture = fs::read(&path)?;
        assert_eq!(label(&host, "digits", &picture)?, meant, "{path:?}");
        assert_eq!(label(&host, "digits-shifted", &picture)?, meant, "{path:?}");
        seen += 1;
    }
    assert_eq!(seen, 20);
    Ok(())
}

/// The accuracy that was committed with the network was measured with ONNX Runtime, an independent implementation.
#[test]
fn accuracy_over_http_is_what_the_reference_measured() -> Result<()> {
    let host = HOST.get();
    let measured: Value =
        serde_json::from_str(&fs::read_to_string(repository().join("examples/digits/accuracy.json"))?)?;
    let pictures = held_out()?;
    assert_eq!(measured["held_out"], pictures.len());
    for (model, key, allowed) in [("digits", "plain_correct", 0), ("digits-shifted", "shifted_correct", 1)] {
        let mut correct = 0;
        for (picture, meant) in &pictures {
            correct += i64::from(label(&host, model, picture)? == *meant);
        }
        let wanted = measured[key].as_i64().context("accuracy.json")?;
        println!("{model}: {correct} of {} right; the reference: {wanted}", pictures.len());
        // The scores of one shifted picture are equal within rounding.
        assert!((correct - wanted).abs() <= allowed, "{model}: {correct} right, and the reference has {wanted}");
        assert!(correct as f64 / pictures.len() as f64 >= 0.97);
    }
    Ok(())
}

/// All held-out pictures as PNG files, cut from one sheet, each with its label.
fn held_out() -> Result<Vec<(Vec<u8>, String)>> {
    let folder = repository().join("examples/digits");
    let mut sheet = png::Decoder::new(BufReader::new(fs::File::open(folder.join("held-out.png"))?)).read_info()?;
    let mut pixels = vec![0; sheet.output_buffer_size().context("size")?];
    let width = sheet.next_frame(&mut pixels)?.width as usize;
    let mut pictures = Vec::new();
    for (row, labels) in fs::read_to_string(folder.join("held-out.txt"))?.lines().enumerate() {
        for (column, label) in labels.chars().enumerate() {
            let line = |y: usize| (row * SIDE + y) * width + column * SIDE;
            let tile: Vec<u8> = (0..SIDE).flat_map(|y| pixels[line(y)..line(y) + SIDE].to_vec()).collect();
            pictures.push((encode(&tile)?, label.to_string()));
        }
    }
    Ok(pictures)
}

fn encode(tile: &[u8]) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIDE.try_into()?, SIDE.try_into()?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(tile)?;
    Ok(file)
}

#[test]
fn parameters_of_a_plain_body_stand_in_the_address() -> Result<()> {
    let host = HOST.get();
    let (picture, meant) = held_out()?.remove(0);
    let reply = host.post("/v2/models/digits/infer?top_k=3", "image/png", &picture)?;
    let labels = reply.output("label");
    assert_eq!((labels.len(), labels[0].as_str()), (3, Some(meant.as_str())), "{reply:?}");
    let reply = host.post("/v2/models/digits/infer?top_k=11", "image/png", &picture)?;
    assert_eq!(reply.status, 400, "{reply:?}");
    Ok(())
}
