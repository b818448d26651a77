use super::*;

const FILTERS: [Filter; 5] = [Filter::Nearest, Filter::Box, Filter::Bilinear, Filter::CatmullRom, Filter::Lanczos3];

fn target(width: u32, height: u32, fitting: Fitting, filter: Filter) -> Target {
    Target { width, height, fitting, filter, pad: 9 }
}

fn gray(width: u32, pixels: &[u8]) -> Picture {
    Picture { width, height: u32::try_from(pixels.len()).unwrap() / width, channels: 1, pixels: pixels.to_vec() }
}

fn bring(target: Target, picture: Picture, turn: Turn) -> Vec<u8> {
    let brought = target.bring(picture, turn, &mut Resizer::new()).unwrap();
    assert_eq!((brought.width, brought.height), (target.width, target.height));
    brought.pixels
}

#[test]
fn leaves_a_picture_that_fits_where_it_lies() {
    for fitting in [Fitting::Stretch, Fitting::Crop, Fitting::Fit] {
        let picture = gray(3, &[1, 2, 3, 4, 5, 6]);
        let place = picture.pixels.as_ptr();
        let brought =
            target(3, 2, fitting, Filter::Lanczos3).bring(picture, Turn::default(), &mut Resizer::new()).unwrap();
        assert_eq!(brought.pixels.as_ptr(), place, "{fitting:?}");
    }
}

#[test]
fn stretches_each_side_by_itself() {
    let to = target(2, 1, Fitting::Stretch, Filter::Box);
    assert_eq!(bring(to, gray(4, &[0, 10, 20, 30, 0, 10, 20, 30]), Turn::default()), [5, 25]);
}

#[test]
fn every_filter_keeps_an_even_colour() {
    for filter in FILTERS {
        for (width, height) in [(5, 5), (1, 9), (40, 3)] {
            let to = target(width, height, Fitting::Stretch, filter);
            let picture = Picture { width: 16, height: 11, channels: 3, pixels: [200, 100, 50].repeat(176) };
            assert_eq!(
                bring(to, picture, Turn::default()),
                [200, 100, 50].repeat((width * height) as usize),
                "{filter:?}"
            );
        }
    }
}

#[test]
fn filters_differ() {
    let edge = [0, 0, 0, 255, 255, 0, 0, 255];
    let results: Vec<_> =
        FILTERS.map(|filter| bring(target(3, 1, Fitting::Stretch, filter), gray(8, &edge), Turn::default())).into();
    for (i, result) in results.iter().enumerate() {
        assert!(!results[..i].contains(result), "{:?} gives what another one gave: {result:?}", FILTERS[i]);
    }
}

#[test]
fn crops_the_middle_without_resampling_where_only_one_side_is_too_long() {
    let to = target(2, 2, Fitting::Crop, Filter::Lanczos3);
    let wide = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    assert_eq!(bring(to, gray(5, &wide), Turn::default()), [3, 4, 8, 9]);
    assert_eq!(bring(to, gray(2, &wide), Turn::default()), [5, 6, 7, 8]);
}

#[test]
fn crops_after_scaling() {
    let to = target(1, 1, Fitting::Crop, Filter::Box);
    assert_eq!(bring(to, gray(6, &[90, 90, 1, 3, 90, 90, 90, 90, 5, 7, 90, 90]), Turn::default()), [4]);
}

#[test]
fn fits_with_padding_on_both_sides() {
    let to = target(4, 4, Fitting::Fit, Filter::Box);
    let wide = bring(to, gray(4, &[1, 2, 3, 4, 5, 6, 7, 8]), Turn::default());
    assert_eq!(wide, [9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]);
    let high = bring(to, gray(1, &[4, 4, 4, 4, 4, 4, 4, 4]), Turn::default());
    assert_eq!(high, [9, 4, 9, 9, 9, 4, 9, 9, 9, 4, 9, 9, 9, 4, 9, 9]);
    // However thin the picture is, some of it remains.
    assert_eq!(bring(to, gray(1, &[4; 100]), Turn::default()).iter().filter(|value| **value == 4).count(), 4);
}

#[test]
fn turning_last_gives_what_turning_first_does() {
    let pixels: Vec<u8> = (0..35).map(|i| i * 7).collect();
    for turn in 0..8u8 {
        let turn = Turn { transpose: turn & 1 > 0, mirror_x: turn & 2 > 0, mirror_y: turn & 4 > 0 };
        for fitting in [Fitting::Stretch, Fitting::Crop, Fitting::Fit] {
            let to = target(4, 2, fitting, Filter::Bilinear);
            let first = bring(to, turn.apply(gray(7, &pixels)), Turn::default());
            let last = bring(to, gray(7, &pixels), turn);
            // Resizing rounds in two passes, whose order differs.
            let differs = first.iter().zip(&last).any(|(a, b)| a.abs_diff(*b) > 1);
            assert!(!differs, "{turn:?} {fitting:?}: {first:?} {last:?}");
        }
    }
}

#[test]
fn no_sides_leave_the_picture() {
    let mut resizer = Resizer::new();
    for width in (1..60).chain([997, 4099]) {
        for height in [1, 2, 3, 7, 64, 333] {
            for (to_width, to_height) in [(1, 1), (3, 7), (224, 224), (10, 301)] {
                for fitting in [Fitting::Crop, Fitting::Fit] {
                    let to = target(to_width, to_height, fitting, Filter::Nearest);
                    let turn = Turn { transpose: width % 2 == 0, mirror_x: height % 2 == 0, mirror_y: true };
                    let picture = Picture::filled(width, height, 1, 5);
                    to.bring(picture, turn, &mut resizer)
                        .unwrap_or_else(|error| panic!("{width} x {height}: {error:?}"));
                }
            }
        }
    }
}
