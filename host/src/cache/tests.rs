use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::*;

const KEY: [u8; 32] = [7; 32];

fn name(of: &str) -> CacheKey {
    CacheKeyBuilder::of("test").part(of).finish()
}

fn cache(folder: &tempfile::TempDir, most_bytes: u64) -> Cache {
    Cache::open(folder.path().join("cache"), KEY, most_bytes)
}

/// The number of files in the cache's folder.
fn files(cache: &Cache) -> usize {
    fs::read_dir(&cache.folder).unwrap().count()
}

#[test]
fn entries_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    cache(&folder, 1000).put(&name("a"), &[b"head", b"body"]);
    let cache = cache(&folder, 1000);
    assert_eq!(cache.get(&name("a")).unwrap(), &b"headbody"[..]);
    assert_eq!(cache.get(&name("b")), None);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&cache.folder), mode(&cache.path(&name("a")))), (0o700, 0o600));
}

#[test]
fn a_changed_or_torn_entry_is_never_given_and_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 1000);
    let path = cache.path(&name("a"));
    cache.put(&name("a"), &[b"content"]);
    let good = fs::read(&path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        assert_eq!(cache.get(&name("a")), None, "bit {bit}");
        assert!(!path.exists(), "bit {bit}");
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(cache.get(&name("a")), None, "{length} bytes");
    }
    fs::write(&path, &good).unwrap();
    assert!(cache.get(&name("a")).is_some());
}

#[test]
fn an_entry_is_good_under_its_name_and_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 1000);
    cache.put(&name("a"), &[b"content"]);
    fs::copy(cache.path(&name("a")), cache.path(&name("b"))).unwrap();
    assert_eq!(cache.get(&name("b")), None);
    let other = Cache { folder: cache.folder.clone(), key: [8; 32], most_bytes: 1000 };
    assert_eq!(other.get(&name("a")), None);
}

#[test]
fn parts_are_counted() {
    let one = CacheKeyBuilder::of("x").part("ab").part("c").finish();
    assert_ne!(one, CacheKeyBuilder::of("x").part("a").part("bc").finish());
    assert_ne!(one, CacheKeyBuilder::of("x").part("abc").finish());
}

#[test]
fn the_least_recently_used_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 3 * (TAG as u64 + 100));
    for (age, entry) in ["a", "b", "c"].iter().enumerate() {
        cache.put(&name(entry), &[&[0; 100]]);
        let long_ago = SystemTime::now() - Duration::from_secs(1000 - 100 * age as u64);
        fs::File::open(cache.path(&name(entry))).unwrap().set_modified(long_ago).unwrap();
    }
    assert!(cache.get(&name("a")).is_some());
    cache.put(&name("d"), &[&[0; 100]]);
    assert!(cache.get(&name("b")).is_none());
    assert!(["a", "c", "d"].iter().all(|entry| cache.get(&name(entry)).is_some()));
    cache.put(&name("huge"), &[&[0; 1000]]);
    assert_eq!(files(&cache), 3, "an entry larger than the cache displaces nothing");
    let smaller = Cache::open(cache.folder.clone(), KEY, TAG as u64 + 100);
    assert_eq!(files(&smaller), 1);
}

#[test]
fn a_folder_that_cannot_be_used_costs_only_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cache");
    fs::write(&file, "not a folder").unwrap();
    let cache = Cache::open(file, KEY, 1000);
    cache.put(&name("a"), &[b"content"]);
    assert_eq!(cache.get(&name("a")), None);
}

#[test]
fn many_writers_of_one_entry_leave_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 1 << 30);
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let cache = &cache;
            scope.spawn(move || {
                for _ in 0..20 {
                    cache.put(&name("a"), &[&vec![writer; 50_000]]);
                    let content = cache.get(&name("a")).unwrap();
                    assert!(content.len() == 50_000 && content.iter().all(|byte| *byte == content[0]));
                }
            });
        }
    });
    assert_eq!(files(&cache), 1);
}
