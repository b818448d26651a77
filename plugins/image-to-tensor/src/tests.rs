use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde_json::{Value, json};

use super::*;

/// Two RGB pixels.
const TWO: [u8; 6] = [255, 0, 51, 10, 20, 30];

fn start(config: Value) -> Result<ImageToTensor, String> {
    let config = serde_json::from_value(config).map_err(|error| error.to_string())?;
    ImageToTensor::init(config).map_err(|error| error.to_string())
}

/// A plugin for frames of two pixels, with these configuration keys.
fn start_for_two(keys: Value) -> ImageToTensor {
    let mut config = json!({ "width": 2, "height": 1, "input": "pixels" });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    start(config).unwrap()
}

fn run(plugin: &ImageToTensor, image: Tensor) -> Result<Outputs, Failure> {
    plugin.process(Inputs::from([(IMAGE, image)]), &Parameters::default())
}

fn numbers(outputs: &Outputs) -> Vec<f32> {
    outputs.get("tensor").unwrap().view::<f32>().unwrap().to_vec()
}

fn run_two(keys: Value) -> Vec<f32> {
    numbers(&run(&start_for_two(keys), Tensor::new(&[1, 1, 2, 3], &TWO).unwrap()).unwrap())
}

fn png(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    PngEncoder::new(&mut encoded).write_image(rgb, width, height, ExtendedColorType::Rgb8).unwrap();
    encoded
}

fn close(got: &[f32], wanted: &[f32]) {
    let same = got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(same, "{got:?} is not {wanted:?}");
}

#[test]
fn pixels_become_planes_from_0_to_1_unless_told_otherwise() {
    close(&run_two(json!({})), &[1.0, 10.0 / 255.0, 0.0, 20.0 / 255.0, 0.2, 30.0 / 255.0]);
}

#[test]
fn layout_and_channels_set_the_order() {
    for (layout, channels, wanted) in [
        ("nchw", "rgb", vec![255.0, 10.0, 0.0, 20.0, 51.0, 30.0]),
        ("nchw", "bgr", vec![51.0, 30.0, 0.0, 20.0, 255.0, 10.0]),
        ("nhwc", "rgb", vec![255.0, 0.0, 51.0, 10.0, 20.0, 30.0]),
        ("nhwc", "bgr", vec![51.0, 0.0, 255.0, 30.0, 20.0, 10.0]),
        ("nchw", "gray", vec![82.0, 18.0]),
        ("nhwc", "gray", vec![82.0, 18.0]),
    ] {
        close(&run_two(json!({ "scale": 1, "layout": layout, "channels": channels })), &wanted);
    }
}

#[test]
fn gray_frames_fill_every_channel() {
    for (layout, wanted) in [("nchw", [5.0, 7.0, 4.0, 6.0, 3.0, 5.0]), ("nhwc", [5.0, 4.0, 3.0, 7.0, 6.0, 5.0])] {
        let plugin = start_for_two(json!({ "scale": 1, "layout": layout, "mean": [0, 1, 2] }));
        let outputs = run(&plugin, Tensor::new(&[1, 1, 2, 1], &[5u8, 7]).unwrap()).unwrap();
        close(&numbers(&outputs), &wanted);
    }
}

#[test]
fn scale_mean_and_std_normalise() {
    let same = run_two(json!({ "mean": 0.5, "std": 0.25, "layout": "nhwc" }));
    close(&same[..3], &[2.0, -2.0, -1.2]);
    let each = run_two(json!({ "scale": 1, "mean": [5, 0, 1], "std": [10, 1, 2], "layout": "nhwc" }));
    close(&each, &[25.0, 0.0, 25.0, 0.5, 20.0, 14.5]);
    // In the order of the output channels.
    close(
        &run_two(json!({ "scale": 1, "mean": [1, 0, 5], "channels": "bgr", "layout": "nhwc" }))[..3],
        &[50.0, 0.0, 250.0],
    );
    close(&run_two(json!({ "scale": 1, "mean": [2], "channels": "gray" })), &[80.0, 16.0]);
}

#[test]
fn uint8_gives_pixel_values_as_they_are() {
    for (datatype, layout, wanted) in
        [("uint8", "nchw", [255, 10, 0, 20, 51, 30]), ("UINT8", "nhwc", [255, 0, 51, 10, 20, 30])]
    {
        let plugin = start_for_two(json!({ "datatype": datatype, "layout": layout }));
        assert_eq!(plugin.signature().outputs[0].datatype, Datatype::Uint8);
        let outputs = run(&plugin, Tensor::new(&[1, 1, 2, 3], &TWO).unwrap()).unwrap();
        assert_eq!(&*outputs.get("tensor").unwrap().view::<u8>().unwrap(), &wanted);
    }
}

#[test]
fn the_signature_follows_the_configuration() {
    let signature = start(json!({ "width": 4, "height": 3, "output": "x" })).unwrap().signature();
    let wanted = Signature::new().input("image", Datatype::Bytes, [-1]).output("x", Datatype::Fp32, [-1, 3, 3, 4]);
    assert_eq!(signature, wanted);
    let keys = json!({ "layout": "nhwc", "channels": "gray", "datatype": "uint8" });
    let wanted =
        Signature::new().input("image", Datatype::Uint8, [-1; 4]).output("tensor", Datatype::Uint8, [-1, 1, 2, 1]);
    assert_eq!(start_for_two(keys).signature(), wanted);
}

#[test]
fn resizes_as_configured() {
    let frame = Tensor::new(&[1, 1, 4, 1], &[0u8, 100, 200, 40]).unwrap();
    let gray = |keys: Value| {
        let mut all = json!({ "scale": 1, "channels": "gray" });
        all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        numbers(&run(&start_for_two(all), frame.reshape(&[1, 1, 4, 1]).unwrap()).unwrap())
    };
    close(&gray(json!({ "filter": "area" })), &[50.0, 120.0]);
    close(&gray(json!({ "filter": "nearest" })), &[100.0, 40.0]);
    close(&gray(json!({ "resize": "crop" })), &[100.0, 200.0]);
    assert_eq!(gray(json!({ "filter": "bicubic" })), gray(json!({ "filter": "catmull-rom" })));
    let keys = json!({ "width": 2, "height": 3, "resize": "fit", "pad": 114, "filter": "box" });
    close(&gray(keys), &[114.0, 114.0, 50.0, 120.0, 114.0, 114.0]);
}

#[test]
fn decodes_a_batch_of_files_of_different_sizes() {
    let plugin = start(json!({ "width": 2, "height": 1, "scale": 1, "layout": "nhwc", "filter": "box" })).unwrap();
    let large: Vec<u8> = [[7, 8, 9].repeat(2), [1, 2, 3].repeat(2)].concat();
    let files = [png(2, 1, &TWO), png(4, 1, &large)];
    let outputs = run(&plugin, Tensor::bytes(&[2], &files).unwrap()).unwrap();
    assert_eq!(outputs.get("tensor").unwrap().shape(), [2, 1, 2, 3]);
    close(&numbers(&outputs), &[255.0, 0.0, 51.0, 10.0, 20.0, 30.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0]);
    let one = run(&plugin, Tensor::bytes(&[1], &files[..1]).unwrap()).unwrap();
    close(&numbers(&one), &[255.0, 0.0, 51.0, 10.0, 20.0, 30.0]);
    let none = run(&plugin, Tensor::bytes::<&[u8]>(&[0], &[]).unwrap()).unwrap();
    assert_eq!(none.get("tensor").unwrap().shape(), [0, 1, 2, 3]);
}

#[test]
fn says_which_picture_of_a_batch_is_wrong() {
    let plugin = start(json!({ "width": 2, "height": 1, "max-pixels": 2 })).unwrap();
    for (file, wanted) in [
        (b"hello".to_vec(), "\"image\": picture 2 of 2 is neither PNG nor JPEG: it starts with 68 65 6c 6c 6f"),
        (
            png(3, 1, &[0; 9]),
            "\"image\": picture 2 of 2 has 3 x 1 = 3 pixels: at most 2 are allowed. Make it smaller before sending",
        ),
    ] {
        let failure = run(&plugin, Tensor::bytes(&[2], &[png(2, 1, &TWO), file]).unwrap()).unwrap_err();
        assert_eq!(failure, Failure::InvalidInput(wanted.into()));
    }
}

#[test]
fn refuses_frames_that_are_none() {
    let plugin = start_for_two(json!({ "max-pixels": 6 }));
    for (shape, wanted) in [
        ([1, 1, 2, 4], "has shape [1, 1, 2, 4]: wanted are frames [pictures, height, width, 3 for RGB or 1 for gray]"),
        ([1, 0, 2, 3], "each frame must have 1 to 6 pixels"),
        ([1, 7, 1, 1], "each frame must have 1 to 6 pixels"),
    ] {
        let size = usize::try_from(shape.iter().product::<u64>()).unwrap();
        let failure = run(&plugin, Tensor::new(&shape, &vec![0u8; size]).unwrap()).unwrap_err();
        assert!(matches!(&failure, Failure::InvalidInput(text) if text.contains(wanted)), "{failure:?}");
    }
}

#[test]
fn refuses_a_batch_whose_tensor_has_no_address() {
    let plugin = start(json!({ "width": 16384, "height": 16384 })).unwrap();
    let failure = plugin.fill(1 << 40, [Raw; 3], |_| panic!("nothing is decoded")).unwrap_err();
    assert!(matches!(&failure, Failure::InvalidInput(text) if text.contains("send fewer at once")), "{failure:?}");
}

#[test]
fn refuses_a_configuration_that_cannot_be_meant() {
    for (keys, wanted) in [
        (json!({}), "missing field `width`"),
        (json!({ "width": 8 }), "missing field `height`"),
        (json!({ "width": 8, "height": 0 }), "height is 0: it must be 1 to 16384"),
        (json!({ "width": 16385, "height": 8 }), "width is 16385: it must be 1 to 16384"),
        (json!({ "width": 8, "height": 8, "max-pixels": 0 }), "max-pixels is 0: it must be 1 to 134217728"),
        (json!({ "width": 8, "height": 8, "maxpixels": 9 }), "unknown field `maxpixels`"),
        (json!({ "width": 8, "height": 8, "filter": "sinc" }), "unknown variant `sinc`"),
        (json!({ "width": 8, "height": 8, "pad": 1 }), "pad does nothing without resize = \"fit\""),
        (json!({ "width": 8, "height": 8, "pad": 256, "resize": "fit" }), "256"),
        (json!({ "width": 8, "height": 8, "std": [1, 0, 1] }), "std is [1.0, 0.0, 1.0]"),
        (json!({ "width": 8, "height": 8, "mean": [1, 2] }), "mean has 2 numbers"),
        (json!({ "width": 8, "height": 8, "mean": [1, 2, 3], "channels": "gray" }), "each of the 1 channels"),
        (json!({ "width": 8, "height": 8, "mean": "x" }), "a number, or a list of numbers"),
        (json!({ "width": 8, "height": 8, "datatype": "uint8", "std": 2 }), "leave out scale, mean and std"),
    ] {
        let error = start(keys.clone()).err().unwrap();
        assert!(error.contains(wanted), "{keys}: {error}");
    }
}

#[test]
fn a_box_filter_recovers_the_tiles_of_the_digits_example() {
    let digits = "../../examples/digits";
    let tiles = image::open(format!("{digits}/held-out.png")).unwrap().into_luma8();
    let keys = json!({ "width": 8, "height": 8, "channels": "gray", "filter": "box", "datatype": "uint8" });
    let plugin = start(keys).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(format!("{digits}/held-out")).unwrap() {
        let path = entry.unwrap().path();
        let place: u32 = path.file_name().unwrap().to_str().unwrap()[..2].parse().unwrap();
        let file = std::fs::read(&path).unwrap();
        let outputs = run(&plugin, Tensor::bytes(&[1], &[file]).unwrap()).unwrap();
        let tile = image::imageops::crop_imm(&tiles, place % 20 * 8, place / 20 * 8, 8, 8).to_image();
        assert_eq!(&*outputs.get("tensor").unwrap().view::<u8>().unwrap(), tile.as_raw().as_slice(), "{path:?}");
        seen += 1;
    }
    assert_eq!(seen, 20);
}
