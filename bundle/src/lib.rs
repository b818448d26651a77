//! What a bundle is as bytes: a folder, an archive, a signature over all of its files.
